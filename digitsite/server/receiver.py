"""The ASGI application: receives a request, has Django answer it in a thread, sends the response."""

import asyncio
import contextlib
import gc
import json
import logging
import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .body import Body, BodyError, BodyReceiver, ClientDisconnectedError, Limits, Receive, empty_body
from .byte_budget import BudgetExceededError, ByteBudget
from .environ import add_body, build_environ
from .responses import PIECE_SIZE, Response, Send, run_wsgi, send_response
from .thread_pool import Job, PoolFullError, ThreadPool

log = logging.getLogger(__name__)

# Of larger bodies only some are worked on at once (`ThreadPool.max_large_bytes`).
LARGE_BODY = 256 * 1024
# After a larger body the collector runs: reference cycles that hold parts of it would stay for long (see asgi.py).
COLLECT_AFTER = 1024 * 1024
DISK_THREADS = 2
# A deferrable request that waits longer for a thread is answered without the application.
DEFERRABLE_SECONDS = 2.0
# Long enough for a proxy to notice the response while it still sends; nginx itself takes five seconds at most.
LINGER_SECONDS = 2.0
BUSY_HEADERS = [
    (b"content-type", b"application/problem+json"),
    (b"retry-after", b"1"),
    (b"cache-control", b"no-store"),
]
BUSY_BODY = json.dumps(
    {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "code": "busy",
        "detail": "The site is busy right now. Please try again in a moment.",
    }
).encode()


@dataclass(frozen=True, slots=True)
class Application:
    """What the receiver needs to know of the WSGI application.

    Attributes:
        wsgi: the application.
        caller_of: environ -> the caller under whom the request's share of threads and bytes is counted.
        max_body_size: environ -> bytes that this address accepts.
        is_deferrable: environ -> whether other requests go first, and this one is dropped first.
        error_key: where in the environ the application looks for the code of what went wrong while the body was
            received (`BodyError.code`). The body is empty then, and the application answers with the right status.
    """

    wsgi: Callable[..., Iterable[bytes]]
    caller_of: Callable[[dict], str]
    max_body_size: Callable[[dict], int]
    is_deferrable: Callable[[dict], bool]
    error_key: str


class Receiver:
    """See the package's docstring.

    Args:
        application: what answers.
        pool: the threads in which it does.
        limits: of request bodies.
        response_budget: bytes of large responses that are in memory, waiting for their clients.
    """

    def __init__(
        self, application: Application, *, pool: ThreadPool, limits: Limits, response_budget: ByteBudget
    ) -> None:
        self.pool = pool
        self._application = application
        self._limits = limits
        self._response_budget = response_budget
        self._disk = ThreadPoolExecutor(DISK_THREADS, "request-files")

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not supported; start the server for HTTP alone.")
        environ = build_environ(scope)
        caller = self._application.caller_of(environ)
        try:
            body = await self._receive(scope, receive, environ, caller)
        except ClientDisconnectedError:
            return
        is_incomplete = self._application.error_key in environ
        try:
            response = await self._answer(environ, caller, body)
        except PoolFullError:
            body.close()
            response = _busy_response()
        finally:
            body.release()
        if is_incomplete:
            response.headers.append((b"connection", b"close"))  # the rest of the body is not read
        await self._send(send, response, caller, with_body=scope["method"] != "HEAD")
        if is_incomplete:
            await _discard_rest(receive)

    async def _receive(self, scope: dict, receive: Receive, environ: dict, caller: str) -> Body:
        """The request's body; an empty one, and an error in the environ, where it could not be received."""
        length, is_chunked = None, False
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = int(value)  # the server has checked that it is a number
            elif name == b"transfer-encoding":
                is_chunked = True
        body = empty_body()
        if is_chunked or length:
            receiver = BodyReceiver(
                receive,
                caller=caller,
                max_size=self._application.max_body_size(environ),
                limits=self._limits,
                disk=self._disk,
            )
            try:
                body = await receiver.receive(None if is_chunked else length)
            except BodyError as error:
                environ[self._application.error_key] = error.code
                if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, TimeoutError):
                    log.critical("%s: %s", error.code, error.__cause__)
        add_body(environ, body)
        return body

    async def _answer(self, environ: dict, caller: str, body: Body) -> Response:
        """
        Raises:
            PoolFullError: too many requests wait for a thread, or this deferrable one waited too long.
        """
        loop = asyncio.get_running_loop()
        answered = loop.create_future()

        def run() -> None:
            try:
                response, error = run_wsgi(self._application.wsgi, environ), None
            except Exception as failure:  # noqa: BLE001 - raised again on the event loop
                response, error = None, failure
            body.close()
            if body.size > COLLECT_AFTER:
                environ.clear()
                gc.collect()
            loop.call_soon_threadsafe(_resolve, answered, response, error)

        def drop() -> None:
            loop.call_soon_threadsafe(_resolve, answered, None, PoolFullError())

        is_deferrable = self._application.is_deferrable(environ)
        job = Job(
            run,
            caller,
            large_bytes=body.size if body.size > LARGE_BODY else 0,
            is_deferrable=is_deferrable,
            expires_at=time.monotonic() + DEFERRABLE_SECONDS if is_deferrable else math.inf,
            drop=drop,
        )
        self.pool.submit(job)
        return await answered

    async def _send(self, send: Send, response: Response, caller: str, *, with_body: bool) -> None:
        in_memory = response.size if isinstance(response.body, bytes) and response.size > PIECE_SIZE else 0
        try:
            self._response_budget.reserve(caller, in_memory)
        except BudgetExceededError:
            response, in_memory = _busy_response(), 0
        try:
            await send_response(send, response, disk=self._disk, with_body=with_body, min_rate=self._limits.min_rate)
        except TimeoutError:
            log.info("response_timeout", extra={"status": response.status, "bytes": response.size})
        finally:
            self._response_budget.release(caller, in_memory)
            response.close()


async def _discard_rest(receive: Receive) -> None:
    """Read on for a moment after a response that came before the end of the body.

    A connection that is closed with unread bytes is reset, and a client or proxy that is still sending then loses the
    response: proxies answer 502 in its place (RFC 9112, section 9.6).
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while (message := await receive())["type"] == "http.request" and message["more_body"]:
                pass


def _busy_response() -> Response:
    """What is answered without the application, because no thread or no memory is free for it."""
    return Response(503, list(BUSY_HEADERS), BUSY_BODY, len(BUSY_BODY))


def _resolve(answered: asyncio.Future, response: Response | None, error: Exception | None) -> None:
    if answered.cancelled():
        return
    if error is not None:
        answered.set_exception(error)
    else:
        answered.set_result(response)
