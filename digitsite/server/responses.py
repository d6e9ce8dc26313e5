"""Run the WSGI application in a thread, and send what it answered from the event loop."""

import asyncio
import io
import os
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO

from .environ import FileBody

Send = Callable[[dict], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# What is larger is sent in pieces of this many bytes, each when the client has taken the one before.
PIECE_SIZE = 64 * 1024


@dataclass(slots=True)
class Response:
    """An answer of the application.

    Attributes:
        body: bytes, or an open file of which `size` bytes are sent from `offset` on.
    """

    status: int
    headers: Headers
    body: bytes | IO[bytes]
    size: int = 0
    offset: int = 0

    def close(self) -> None:
        """Close the file, if it is one."""
        if not isinstance(self.body, bytes):
            self.body.close()


@dataclass(slots=True)
class _Started:
    status: int = 500
    headers: Headers = field(default_factory=list)

    def start_response(self, status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
        self.status = int(status[:3])
        self.headers = [(name.lower().encode("latin-1"), value.strip().encode("latin-1")) for name, value in headers]


def run_wsgi(application: Callable[..., Iterable[bytes]], environ: dict) -> Response:
    """Call a WSGI application and close what it returns, all in this thread: its database connection is here.

    The response is complete afterwards: bytes, or a file of its own. What is generated piece by piece goes through a
    temporary file, so that the thread does not wait for the client.
    """
    started = _Started()
    result = application(environ, started.start_response)
    try:
        if isinstance(result, FileBody) and (response := _open_file(result, started)) is not None:
            return response
        return _read_all(result, started)
    finally:
        if hasattr(result, "close"):
            result.close()


def _open_file(result: FileBody, started: _Started) -> Response | None:
    """A descriptor of the response's own for a file on the disk; None for other file-like objects."""
    try:
        descriptor, offset = result.file.fileno(), result.file.tell()
    except (AttributeError, io.UnsupportedOperation):
        return None
    size = os.fstat(descriptor).st_size - offset
    if size <= PIECE_SIZE:
        return None
    return Response(started.status, started.headers, os.fdopen(os.dup(descriptor), "rb", 0), size, offset)


def _read_all(result: Iterable[bytes], started: _Started) -> Response:
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
        disk: reads files.
        with_body: False for HEAD.
        min_rate: bytes a second that the client has to take of a large response.

    Raises:
        TimeoutError: the client is slower.
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
