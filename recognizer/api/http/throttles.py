"""Rate limit of reads in the JSON API, registered in DEFAULT_THROTTLE_CLASSES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS
from rest_framework.throttling import BaseThrottle

from recognizer.services.identity import throttling

from .requests import actor_of

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


class Throttle(BaseThrottle):
    """Counts read requests. Operations that change something count themselves in the services."""

    def allow_request(self, request: Request, _view: APIView) -> bool:
        """Return True.

        Raises:
            ThrottledError: The caller has used up this minute's reads.
        """
        throttling.count_request(actor_of(request), is_safe=request.method in SAFE_METHODS)
        return True
