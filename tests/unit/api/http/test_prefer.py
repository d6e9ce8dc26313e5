"""The Prefer header (RFC 7240): how long a client waits for a prediction."""

import pytest
from django.http.request import HttpHeaders

from recognizer.api.http.requests import wait_preference

DEFAULT_SECONDS = 2.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, DEFAULT_SECONDS),
        ("wait=1", 1),
        ('WAIT = "1"', 1),
        ("wait=0", 0),
        ("wait=3600", DEFAULT_SECONDS),
        ("respond-async", 0),
        ("respond-async, wait=1", 1),
        ("return=minimal; x=1, wait=1; y", 1),
        ("wait=1, wait=2", 1),
        ("wait=soon", DEFAULT_SECONDS),
        ("wait=-1", DEFAULT_SECONDS),
        (",;=,", DEFAULT_SECONDS),
    ],
)
def test_timeout_follows_the_prefer_header(header, seconds, settings):
    settings.PREDICTION_WAIT_SECONDS = DEFAULT_SECONDS
    environ = {} if header is None else {"HTTP_PREFER": header}
    assert wait_preference(HttpHeaders(environ)) == (seconds > 0, seconds)
