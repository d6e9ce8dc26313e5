"""The `Prefer` request header (RFC 7240): whether and how long the client waits for a prediction."""

from django.conf import settings
from django.http.request import HttpHeaders


def wait_preference(headers: HttpHeaders) -> tuple[bool, float]:
    """Return whether the client waits for the prediction, and for how many seconds.

    `Prefer: wait=N` waits N seconds, at most PREDICTION_WAIT_SECONDS; `respond-async` does not wait. Without a
    preference it is PREDICTION_WAIT_SECONDS. Preferences that cannot be parsed are ignored, as the RFC demands.
    """
    timeout = float(settings.PREDICTION_WAIT_SECONDS)
    preferences: dict[str, str] = {}
    for preference in headers.get("Prefer", "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        preferences.setdefault(name.strip().lower(), value.strip().strip('"'))
    if preferences.get("wait", "").isdecimal():
        timeout = min(float(preferences["wait"]), timeout)
    elif "respond-async" in preferences:
        timeout = 0.0
    return timeout > 0, timeout
