"""Rate limits: how many operations of each kind one caller may start in a minute.

The operations count themselves (`limit_rate`), so that a page, the JSON API and whatever comes later share one limit.
What only reads has no operation: the entry points count it, the API in `api.throttles` and the pages in
`middleware.ThrottleMiddleware`.

Counted in Redis, which all web processes share, in fixed windows of a minute. Without Redis nothing is limited. What is
stored has daily limits besides, in `quotas`; passwords have their own, in `attempts`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import ParamSpec, TypeVar

import redis
from django.conf import settings

from recognizer.services.lib.redis_client import redis_client

from . import quotas
from .actors import Actor

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60

Params = ParamSpec("Params")
Result = TypeVar("Result")


class Kind(StrEnum):
    """A kind of operation; the value is the name of its setting."""

    READ = "READS_PER_MINUTE"
    SUBMIT = "SUBMISSIONS_PER_MINUTE"
    PREVIEW = "PREVIEWS_PER_MINUTE"
    CHANGE = "CHANGES_PER_MINUTE"


class ThrottledError(RuntimeError):
    """The caller has used up this minute's operations of a kind; nothing was done.

    Attributes:
        wait: seconds until the next window.
    """

    def __init__(self) -> None:
        self.wait = WINDOW_SECONDS - time.time() % WINDOW_SECONDS
        seconds = math.ceil(self.wait)
        super().__init__(f"That was a lot at once. Wait {seconds} second{'' if seconds == 1 else 's'}, then try again.")


def limit_rate(kind: Kind) -> Callable[[Callable[Params, Result]], Callable[Params, Result]]:
    """Make a function an operation that counts once for each call, before it does anything.

    The function's actor is its argument `actor`, or its first one; None is the site itself, which has no limit. An
    operation must not call another one: it would count twice. The decorator goes outside `transaction.atomic`, so that
    no database lock waits for Redis.

    Raises:
        ThrottledError: when the decorated function is called too often.
    """

    def decorate(function: Callable[Params, Result]) -> Callable[Params, Result]:
        @wraps(function)
        def operation(*args: Params.args, **kwargs: Params.kwargs) -> Result:
            actor = kwargs["actor"] if "actor" in kwargs else next(iter(args), None)
            if actor is not None:
                count(actor, kind)
            return function(*args, **kwargs)

        return operation

    return decorate


def count(actor: Actor, kind: Kind) -> None:
    """Count one operation of this caller.

    Raises:
        ThrottledError: it is one too many.
    """
    key, limit = _limit(actor, kind)
    if key and limit and _increment(f"{kind}:{key}") > limit:
        raise ThrottledError


def count_request(actor: Actor, *, is_safe: bool) -> None:
    """Count a request that reads, before it is served.

    One that changes something is counted by its operation; here it is only refused where the reads are used up, because
    what is refused before it reaches its operation costs as much as a read (see `count_refusal`).

    Raises:
        ThrottledError: the caller has used up this minute's reads.
    """
    if is_safe:
        count(actor, Kind.READ)
        return
    key, limit = _limit(actor, Kind.READ)
    if key and limit and _current(f"{Kind.READ}:{key}") >= limit:
        raise ThrottledError


def count_refusal(actor: Actor) -> None:
    """Count a request that was to change something and was refused as a read; it has its answer already."""
    key, limit = _limit(actor, Kind.READ)
    if key and limit:
        _increment(f"{Kind.READ}:{key}")


def _limit(actor: Actor, kind: Kind) -> tuple[str, int]:
    """Return the key of the caller ("": not counted) and its limit (0: none)."""
    by_address, by_account, by_token = getattr(settings, kind)
    if actor.user is None:
        return quotas.network_of(actor.address), by_address
    if actor.scopes is None:
        return f"account:{actor.user.pk}", by_account
    return f"token:{actor.user.pk}", by_token


def _increment(name: str) -> int:
    """Return how often this was counted in this minute, this time included; 0 without Redis."""
    key = _key(name)
    counts = _execute(("INCR", key), ("EXPIRE", key, 2 * WINDOW_SECONDS))
    return counts[0] if counts else 0


def _current(name: str) -> int:
    """Return how often this was counted in this minute; 0 without Redis."""
    counts = _execute(("GET", _key(name)))
    return int(counts[0] or 0) if counts else 0


def _key(name: str) -> str:
    return f"asked:{int(time.time() // WINDOW_SECONDS)}:{name}"


def _execute(*commands: tuple[str | int, ...]) -> list:
    """Return the answers of Redis; none where it is away."""
    client = redis_client()
    if client.circuit.is_open():
        return []
    try:
        return client.execute(*commands)
    except redis.RedisError as error:
        if isinstance(error, redis.TimeoutError):
            client.circuit.trip()
        log.debug("rate limits unavailable: %s", error)
        return []
