"""Run the WSGI application in a thread, and send its response from the event loop."""

import asyncio
import io
import os
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from .environ import Environ, FileBody

Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# Larger responses are sent in pieces of this many bytes, each after the client has received the previous one.
PIECE_SIZE = 64 * 1024


@dataclass(slots=True)
class Response:
    """A complete response.

    Attributes:
        status: HTTP status.
        headers: Names in lower case, and values.
        body: Bytes, or an open file of which `size` bytes are sent, beginning at `offset`.
        size: Number of bytes.
        offset: Position of the first byte in the file.
    """

    status: int
    headers: Headers
    body: bytes | IO[bytes]
    size: int = 0
    offset: int = 0

    def close(self) -> None:
        """Close the body if it is a file."""
        if not isinstance(self.body, bytes):
            self.body.close()


@dataclass(slots=True)
class _StartedResponse:
    """Status and headers, as passed to `start_response`."""

    status: int = 500
    headers: Headers = field(default_factory=list)

    def start_response(self, status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
        self.status = int(status[:3])
        self.headers = [(name.lower().encode("latin-1"), value.strip().encode("latin-1")) for name, value in headers]


def run_wsgi(application: Callable[..., Iterable[bytes]], environ: Environ) -> Response:
    """Call a WSGI application and close its result in the same thread, which holds the database connection.

    Returns:
        A complete response: bytes, or a file. A body that is generated in pieces is written to a temporary file, so
        that the thread does not wait for the client.
    """
    started = _StartedResponse()
    result = application(environ, started.start_response)
    try:
        if isinstance(result, FileBody) and (response := _open_file(result, started)) is not None:
            return response
        return _read_all(result, started)
    finally:
        if (close := getattr(result, "close", None)) is not None:
            close()


def _open_file(result: FileBody, started: _StartedResponse) -> Response | None:
    """Return a response with a duplicate descriptor of a file on disk; None for small and for file-like objects."""
    try:
        descriptor, offset = result.file.fileno(), result.file.tell()
    except (AttributeError, io.UnsupportedOperation):
        return None
    size = os.fstat(descriptor).st_size - offset
    if size <= PIECE_SIZE:
        return None
    return Response(started.status, started.headers, os.fdopen(os.dup(descriptor), "rb", 0), size, offset)


def _read_all(result: Iterable[bytes], started: _StartedResponse) -> Response:
    pieces = iter(result)
    body = next(pieces, b"")
    second = next(pieces, None)
    if second is None:
        return Response(started.status, started.headers, body, len(body))
    with SpooledTemporaryFile(max_size=PIECE_SIZE) as spool:
        spool.writelines((body, second))
        spool.writelines(pieces)
        size = spool.tell()
        spool.seek(0)
        if size <= PIECE_SIZE:
            return Response(started.status, started.headers, spool.read(), size)
        return Response(started.status, started.headers, os.fdopen(os.dup(spool.fileno()), "rb", 0), size)


async def send_response(
    send: Send, response: Response, *, disk: ThreadPoolExecutor, with_body: bool, min_rate: int
) -> None:
    """Send a response.

    Args:
        send: ASGI's `send`.
        response: The response.
        disk: Threads that read files.
        with_body: False for HEAD.
        min_rate: Minimum rate at which the client has to receive a large response, in bytes per second.

    Raises:
        TimeoutError: The client is too slow.
    """
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    if not with_body or (isinstance(response.body, bytes) and response.size <= PIECE_SIZE):
        body = response.body if with_body else b""
        await send({"type": "http.response.body", "body": body})
        return
    sent = 0
    while sent < response.size:
        piece = await _piece(response, sent, disk)
        if not piece:
            raise EOFError("The file became shorter while it was sent.")
        sent += len(piece)
        async with asyncio.timeout(PIECE_SIZE / min_rate):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _piece(response: Response, sent: int, disk: ThreadPoolExecutor) -> bytes:
    size = min(PIECE_SIZE, response.size - sent)
    if isinstance(response.body, bytes):
        return response.body[sent : sent + size]
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(disk, os.pread, response.body.fileno(), size, response.offset + sent)
