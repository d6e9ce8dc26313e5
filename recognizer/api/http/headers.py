"""The `Prefer` header (RFC 7240) of a request that creates: how long the caller wants to wait for the answer."""

from django.conf import settings
from django.http.request import HttpHeaders


def wait_seconds(headers: HttpHeaders) -> float:
    """Seconds to wait: `Prefer: wait=N` at most PREDICTION_WAIT_SECONDS, `respond-async` not at all, else the usual.

    As the RFC demands, what cannot be understood is ignored.
    """
    usual = settings.PREDICTION_WAIT_SECONDS
    preferences = {}
    for preference in headers.get("Prefer", "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        preferences.setdefault(name.strip().lower(), value.strip().strip('"'))
    if preferences.get("wait", "").isdecimal():
        return min(float(preferences["wait"]), usual)
    return 0.0 if "respond-async" in preferences else usual
