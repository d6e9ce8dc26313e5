"""Rate limit of reads in the JSON API, registered in DEFAULT_THROTTLE_CLASSES."""

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from recognizer.services.identity import throttling

from .requests import actor_of


class Throttle(BaseThrottle):
    """Counts read requests. Operations that change something count themselves in the services."""

    def allow_request(self, request: Request, _view: object) -> bool:
        """Return True.

        Raises:
            ThrottledError: The caller has used up this minute's reads.
        """
        throttling.count_request(actor_of(request), is_safe=request.method in SAFE_METHODS)
        return True
