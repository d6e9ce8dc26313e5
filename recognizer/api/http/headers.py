"""The `Prefer` request header (RFC 7240): how long the client waits for a prediction."""

from django.conf import settings
from django.http.request import HttpHeaders


def wait_seconds(headers: HttpHeaders) -> float:
    """Return the seconds to wait for a prediction.

    `Prefer: wait=N` waits N seconds, at most PREDICTION_WAIT_SECONDS; `respond-async` does not wait. Without a
    preference it is PREDICTION_WAIT_SECONDS. Preferences that cannot be parsed are ignored, as the RFC demands.
    """
    default = float(settings.PREDICTION_WAIT_SECONDS)
    preferences: dict[str, str] = {}
    for preference in headers.get("Prefer", "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        preferences.setdefault(name.strip().lower(), value.strip().strip('"'))
    if preferences.get("wait", "").isdecimal():
        return min(float(preferences["wait"]), default)
    return 0.0 if "respond-async" in preferences else default
