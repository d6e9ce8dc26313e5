"""Rate limits: how many operations of each kind one caller may start per minute.

The operations count themselves (`limit_rate`), so that pages and the JSON API share one limit. Reads are not
operations: the entry points count them, the API in its throttle classes and the pages in a middleware.

Counted in Redis, which all web processes share, in fixed windows of a minute. Without Redis there is no limit. Stored
data also has daily limits (`quotas`), and passwords have limits of their own (`login_throttle`).
"""

import logging
import math
import time
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from django.conf import settings

from recognizer.services.lib.addresses import network_of
from recognizer.services.lib.redis_client import redis_or_none

from .actors import Actor

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
    """The caller has exceeded a rate limit; nothing was done.

    Attributes:
        wait: seconds until the next window.
    """

    def __init__(self) -> None:
        self.wait = WINDOW_SECONDS - time.time() % WINDOW_SECONDS
        seconds = math.ceil(self.wait)
        super().__init__(f"That was a lot at once. Wait {seconds} second{'' if seconds == 1 else 's'}, then try again.")


def limit_rate(kind: Kind) -> Callable[[Callable[Params, Result]], Callable[Params, Result]]:
    """Decorate a function as an operation: each call is counted before the function runs.

    The actor is the argument `actor` or the first argument; None is the site itself, which has no limit. An operation
    must not call another one, or it would be counted twice. Put the decorator outside `transaction.atomic`, so that
    no database lock waits for Redis.

    Args:
        kind: the kind of the operation.

    Raises:
        ThrottledError: the decorated function was called too often.
    """

    def decorate(function: Callable[Params, Result]) -> Callable[Params, Result]:
        @wraps(function)
        def operation(*args: Params.args, **kwargs: Params.kwargs) -> Result:
            actor = kwargs["actor"] if "actor" in kwargs else next(iter(args), None)
            if actor is not None:
                count(cast("Actor", actor), kind)
            return function(*args, **kwargs)

        return operation

    return decorate


def count(actor: Actor, kind: Kind) -> None:
    """Count one operation of this caller.

    Raises:
        ThrottledError: the operation exceeds the limit.
    """
    key, limit = _limit(actor, kind)
    if key and limit and _increment(f"{kind}:{key}") > limit:
        raise ThrottledError


def count_request(actor: Actor, *, is_safe: bool) -> None:
    """Count a safe request as a read, before it is processed.

    An unsafe request is counted by its operation. Here it is only rejected if the limit of reads is exceeded, because a
    request that is rejected before its operation costs as much as a read (see `count_refusal`).

    Args:
        actor: the caller.
        is_safe: whether the method of the request is safe (GET, HEAD, OPTIONS).

    Raises:
        ThrottledError: the caller has exceeded the limit of reads.
    """
    if is_safe:
        count(actor, Kind.READ)
        return
    key, limit = _limit(actor, Kind.READ)
    if key and limit and _current(f"{Kind.READ}:{key}") >= limit:
        raise ThrottledError


def count_refusal(actor: Actor) -> None:
    """Count an unsafe request that was rejected before its operation as a read; its response is complete already."""
    key, limit = _limit(actor, Kind.READ)
    if key and limit:
        _increment(f"{Kind.READ}:{key}")


def _limit(actor: Actor, kind: Kind) -> tuple[str, int]:
    """Return the key of the caller ("": not counted) and its limit (0: unlimited)."""
    by_address, by_account, by_token = getattr(settings, kind)
    if actor.user is None:
        return network_of(actor.address), by_address
    if actor.scopes is None:
        return f"account:{actor.user.pk}", by_account
    return f"token:{actor.user.pk}", by_token


def _increment(name: str) -> int:
    """Increment the counter of this minute and return its value; 0 without Redis."""
    key = _key(name)
    with redis_or_none("operation not counted", level=logging.DEBUG) as client:
        if client is not None:
            pipe = client.pipeline(transaction=False)
            pipe.incr(key)
            pipe.expire(key, 2 * WINDOW_SECONDS)
            return int(pipe.execute()[0])
    return 0


def _current(name: str) -> int:
    """Return the value of the counter of this minute; 0 without Redis."""
    with redis_or_none("rate limit not checked", level=logging.DEBUG) as client:
        if client is not None:
            return int(client.get(_key(name)) or 0)
    return 0


def _key(name: str) -> str:
    return f"asked:{int(time.time() // WINDOW_SECONDS)}:{name}"
