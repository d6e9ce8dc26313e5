"""How long a caller wants to wait: the Prefer header of RFC 7240."""

import pytest
from django.http.request import HttpHeaders

from recognizer.api.http.headers import wait_seconds

USUAL = 2.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, USUAL),
        ("wait=1", 1),
        ('WAIT = "1"', 1),
        ("wait=0", 0),
        ("wait=3600", USUAL),
        ("respond-async", 0),
        ("respond-async, wait=1", 1),
        ("return=minimal; x=1, wait=1; y", 1),
        ("wait=1, wait=2", 1),
        ("wait=soon", USUAL),
        ("wait=-1", USUAL),
        (",;=,", USUAL),
    ],
)
def test_what_can_be_understood_is_heeded(header, seconds, settings):
    settings.PREDICTION_WAIT_SECONDS = USUAL
    environ = {} if header is None else {"HTTP_PREFER": header}
    assert wait_seconds(HttpHeaders(environ)) == seconds
