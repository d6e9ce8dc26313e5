"""Rate limits of the JSON API for what only reads. The framework is told of it in the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from recognizer.services.identity import throttling

if TYPE_CHECKING:  # which the framework imports only after this file
    from rest_framework.views import APIView


class Throttle(BaseThrottle):
    """Counts requests that read. What changes something is counted by the operation that does it."""

    def allow_request(self, request: Request, _view: APIView | None) -> bool:
        """Return True.

        Raises:
            throttling.ThrottledError: the caller has used up this minute's reads.
        """
        throttling.count_request(request.actor, is_safe=request.method in SAFE_METHODS)
        return True
