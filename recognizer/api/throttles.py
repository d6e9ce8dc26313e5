"""How often one caller may ask in a minute, counted in Redis, which all web processes share.

Four kinds of asking, each with a setting that holds a limit for addresses, for signed-in accounts and for tokens: an
account's programs do not lock its owner out of the pages. The framework is told of it in the settings; the upload page
asks it too. What is stored has daily limits besides, in services.quotas.
"""

from __future__ import annotations

import logging
import time
from enum import StrEnum
from typing import TYPE_CHECKING

import redis
from django.conf import settings
from django.http import HttpRequest
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from recognizer.services import handoff, quotas
from recognizer.services.actors import Actor

if TYPE_CHECKING:  # which the framework imports only after this file
    from rest_framework.views import APIView

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60


class Kind(StrEnum):
    """A kind of asking; the value is the name of its setting."""

    READ = "READS_PER_MINUTE"
    SUBMIT = "SUBMISSIONS_PER_MINUTE"
    PREVIEW = "PREVIEWS_PER_MINUTE"
    CHANGE = "CHANGES_PER_MINUTE"


class Throttle(BaseThrottle):
    """Counts in fixed windows of a minute. Without Redis everybody may ask.

    A view whose methods are not simply reading or changing something says so in `counts_as`, by method.
    """

    def __init__(self, kind: Kind | None = None) -> None:
        self.kind = kind

    def allow_request(self, request: Request | HttpRequest, view: APIView | None) -> bool:
        kind = self.kind or _kind_of(view, request.method)
        who, limit = _limit(request.actor, kind)
        return not who or not limit or _count(f"{kind}:{who}") <= limit

    def wait(self) -> float:
        """Seconds until the next window."""
        return WINDOW_SECONDS - time.time() % WINDOW_SECONDS


def _kind_of(view: APIView, method: str) -> Kind:
    usual = Kind.READ if method in SAFE_METHODS else Kind.CHANGE
    return getattr(view, "counts_as", {}).get(method, usual)


def _limit(actor: Actor, kind: Kind) -> tuple[str, int]:
    """As whom this caller is counted ("": not at all), and how much they may (0: as much as they like)."""
    by_address, by_account, by_token = getattr(settings, kind)
    if actor.user is None:
        return quotas.network_of(actor.address), by_address
    if actor.scopes is None:
        return f"account:{actor.user.pk}", by_account
    return f"token:{actor.user.pk}", by_token


def _count(key: str) -> int:
    """How often this key was counted in this minute, this time included; 0 without Redis."""
    link = handoff.link()
    if link.circuit.is_open():
        return 0
    key = f"asked:{int(time.time() // WINDOW_SECONDS)}:{key}"
    try:
        count, _ = link.exchange(("INCR", key), ("EXPIRE", key, 2 * WINDOW_SECONDS))
    except redis.RedisError as error:
        if isinstance(error, redis.TimeoutError):
            link.circuit.trip()
        log.debug("nobody is throttled: %s", error)
        return 0
    return count
