"""How often one caller may send: SUBMISSIONS_PER_MINUTE, counted in the cache that all web processes share."""

import logging
import time

import redis
from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from recognizer.services import handoff

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60


class SendingThrottle(BaseThrottle):
    """Counts in fixed windows, by account or else by address. Without the cache everybody may send."""

    def allow_request(self, request: Request, _view: APIView) -> bool:
        limit = settings.SUBMISSIONS_PER_MINUTE
        circuit = handoff.link().circuit
        if not limit or circuit.is_open():
            return True
        window = int(time.time() // WINDOW_SECONDS)
        who = f"user:{request.user.pk}" if request.user.is_authenticated else f"address:{self.get_ident(request)}"
        key = f"sending:{window}:{who}"
        try:
            cache.add(key, 0, timeout=2 * WINDOW_SECONDS)
            return cache.incr(key) <= limit
        except redis.TimeoutError as error:
            circuit.trip()
            reason: Exception = error
        except (redis.RedisError, ValueError) as error:  # ValueError: the counter was flushed in between
            reason = error
        log.warning("sending is not throttled: %s", reason)
        return True

    def wait(self) -> float:
        """Seconds until the next window."""
        return WINDOW_SECONDS - time.time() % WINDOW_SECONDS
