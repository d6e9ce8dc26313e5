"""The ASGI application: receives a request, runs Django in a thread, sends the response."""

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
from .environ import Environ, Scope, add_body, build_environ
from .responses import PIECE_SIZE, Response, Send, run_wsgi, send_response
from .thread_pool import Job, PoolFullError, ThreadPool

log = logging.getLogger(__name__)

# Only some requests with larger bodies run at the same time (`ThreadPool.max_large_bytes`).
LARGE_BODY = 256 * 1024
# The garbage collector runs after a larger body, which reference cycles may keep in memory otherwise (see asgi.py).
COLLECT_AFTER = 1024 * 1024
DISK_THREADS = 2
# A deferrable request that waits longer for a thread gets 503.
DEFERRABLE_SECONDS = 2.0
# Enough for a proxy to notice the response while it is still sending. nginx lingers for five seconds at most.
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
    """The WSGI application and its limits per request.

    Attributes:
        wsgi: The application.
        caller_of: Returns the caller under which threads and bytes of a request are counted.
        max_body_size: Returns the maximum size of a request's body, in bytes.
        is_deferrable: Whether other requests take precedence over this one, and this one is dropped first.
        error_key: Key of the environ for the code of an error while the body was received (`BodyError.code`). The
            body is empty in this case, and the application responds with the matching status.
    """

    wsgi: Callable[..., Iterable[bytes]]
    caller_of: Callable[[Environ], str]
    max_body_size: Callable[[Environ], int]
    is_deferrable: Callable[[Environ], bool]
    error_key: str


class Receiver:
    """ASGI application that runs a WSGI application in a thread pool (see the package's docstring).

    Args:
        application: The WSGI application.
        pool: Its threads.
        limits: Limits on request bodies.
        response_budget: Budget for large responses in memory.
    """

    def __init__(
        self, application: Application, *, pool: ThreadPool, limits: Limits, response_budget: ByteBudget
    ) -> None:
        self.pool = pool
        self._application = application
        self._limits = limits
        self._response_budget = response_budget
        self._disk = ThreadPoolExecutor(DISK_THREADS, "request-files")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Receive a request, run the application and send its response."""
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
            response = await self._respond(environ, caller, body)
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

    async def _receive(self, scope: Scope, receive: Receive, environ: Environ, caller: str) -> Body:
        """Return the body. If it cannot be received, return an empty body and set the error in the environ."""
        headers = dict(scope["headers"])
        is_chunked = b"transfer-encoding" in headers
        length = int(headers.get(b"content-length", 0))  # granian rejects other values
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

    async def _respond(self, environ: Environ, caller: str, body: Body) -> Response:
        """Run the application in a thread and return its response.

        Raises:
            PoolFullError: Too many requests wait for a thread, or this deferrable one waited too long.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Response] = loop.create_future()

        def run() -> None:
            result: Response | Exception
            try:
                result = run_wsgi(self._application.wsgi, environ)
            except Exception as error:  # noqa: BLE001 - raised on the event loop
                result = error
            body.close()
            if body.size > COLLECT_AFTER:
                environ.clear()
                gc.collect()
            loop.call_soon_threadsafe(_resolve, future, result)

        def drop() -> None:
            loop.call_soon_threadsafe(_resolve, future, PoolFullError())

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
        return await future

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
    """Read and discard the rest of the body for a moment after an early response.

    Closing a connection with unread bytes resets it. A client that is still sending would lose the response, and a
    proxy would respond with 502 instead (RFC 9112, section 9.6).
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while (message := await receive())["type"] == "http.request" and message["more_body"]:
                pass


def _busy_response() -> Response:
    """Return a 503 for a request for which there is no free thread or memory."""
    return Response(503, list(BUSY_HEADERS), BUSY_BODY, len(BUSY_BODY))


def _resolve(future: asyncio.Future[Response], result: Response | Exception) -> None:
    if future.cancelled():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
