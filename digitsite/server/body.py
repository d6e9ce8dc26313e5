"""Receive a request body on the event loop: deadline, minimum rate, size limit and byte budgets.

Small bodies stay in memory, large ones are written to an anonymous file in the data directory.
"""

import asyncio
import errno
import io
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from .byte_budget import BudgetExceededError, ByteBudget

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

# Maximum size, in bytes, of a body that stays in memory.
MAX_MEMORY_BODY = 64 * 1024
# Bytes that are buffered before they are written to the file.
WRITE_SIZE = 256 * 1024
# Upper limit of the deadline at any rate.
MAX_BODY_SECONDS = 900.0
FULL_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT)


class BodyError(Exception):
    """The body was not received and the request was not executed.

    Attributes:
        code: The `code` of the problem document in the response: `body_timeout` for a client that is too slow,
            `body_too_large`, `busy` if too many bytes are buffered (in total or for this caller), `storage_full` or
            `storage_unavailable` if the file cannot be written.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ClientDisconnectedError(Exception):
    """The client closed the connection before the body was complete."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on request bodies.

    Attributes:
        timeout_seconds: Time until the first bytes arrive. Every `min_rate` bytes extend it by one second, as in
            Apache's mod_reqtimeout (https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html).
        min_rate: Bytes per second.
        memory: Budget for bodies in memory.
        disk: Budget for bodies in files.
        folder: Directory of the files.
    """

    timeout_seconds: float
    min_rate: int
    memory: ByteBudget
    disk: ByteBudget
    folder: Path


class Body:
    """A received request body.

    Attributes:
        stream: The content, positioned at its start.
        size: Number of bytes.
    """

    def __init__(self, stream: IO[bytes], size: int, release: Callable[[], None]) -> None:
        self.stream = stream
        self.size = size
        self._release = release

    def close(self) -> None:
        """Free memory and file, even if other objects still refer to the stream. Thread-safe."""
        self.stream.close()

    def release(self) -> None:
        """Return the bytes to the budgets. Call it on the event loop only."""
        self._release()


def empty_body() -> Body:
    """Return a body of 0 bytes."""
    return Body(io.BytesIO(), 0, lambda: None)


class BodyReceiver:
    """Receives one body. Bytes are counted as they arrive, so that a large Content-Length alone reserves nothing.

    Args:
        receive: ASGI's `receive`.
        caller: The caller under which the bytes are counted.
        max_size: Maximum size of the body, in bytes.
        limits: Limits on all bodies.
        disk: Threads that write files.
    """

    def __init__(
        self, receive: Receive, *, caller: str, max_size: int, limits: Limits, disk: ThreadPoolExecutor
    ) -> None:
        self._receive = receive
        self._caller = caller
        self._max_size = max_size
        self._limits = limits
        self._disk = disk
        self._chunks: list[bytes] = []
        self._size = self._in_memory = self._on_disk = 0
        self._file: io.FileIO | None = None
        self._pending: Future[None] | None = None

    async def receive(self, length: int | None) -> Body:
        """Receive the body.

        Args:
            length: The Content-Length; None for a chunked body.

        Raises:
            BodyError: It is too slow or too large, or it cannot be stored.
            ClientDisconnectedError: The client has closed the connection.
        """
        if length is not None and length > self._max_size:
            raise BodyError("body_too_large")
        try:
            async with asyncio.timeout(self._limits.timeout_seconds) as deadline:
                await self._receive_all(length, deadline)
            stream = await self._finish()
        except TimeoutError as error:
            self._discard()
            raise BodyError("body_timeout") from error
        except BudgetExceededError as error:
            self._discard()
            raise BodyError("busy") from error
        except OSError as error:
            self._discard()
            raise BodyError("storage_full" if error.errno in FULL_DISK_ERRORS else "storage_unavailable") from error
        except BaseException:
            self._discard()
            raise
        return Body(stream, self._size, self._release)

    async def _receive_all(self, length: int | None, deadline: asyncio.Timeout) -> None:
        first_deadline = cast("float", deadline.when())  # set by receive()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnectedError
            if chunk := message["body"]:
                await self._add(chunk)
            # A body with a Content-Length is complete without the end of the stream.
            if not message["more_body"] or self._size == length:
                return
            extension = min(self._size / self._limits.min_rate, MAX_BODY_SECONDS)
            deadline.reschedule(first_deadline + extension)

    async def _add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._max_size:
            raise BodyError("body_too_large")
        self._limits.memory.reserve(self._caller, len(chunk))
        self._in_memory += len(chunk)
        self._chunks.append(chunk)
        if self._size > MAX_MEMORY_BODY and self._in_memory >= (WRITE_SIZE if self._file else 1):
            await self._write()

    async def _write(self) -> None:
        """Move the buffered bytes to the file."""
        data = b"".join(self._chunks)
        self._limits.disk.reserve(self._caller, len(data))
        self._on_disk += len(data)
        self._chunks = []
        self._pending = self._disk.submit(self._append_to_file, data)
        await asyncio.wrap_future(self._pending)
        self._free_memory()

    def _append_to_file(self, data: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._limits.folder, buffering=0)  # noqa: SIM115 - closed with the body
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    async def _finish(self) -> IO[bytes]:
        if self._file is None:
            [data] = self._chunks if len(self._chunks) == 1 else [b"".join(self._chunks)]
            self._chunks = []
            return io.BytesIO(data)
        if self._chunks:
            await self._write()
        self._file.seek(0)
        return io.BufferedReader(self._file)

    def _discard(self) -> None:
        # An interrupted write continues in its thread; the file is closed when it has ended.
        if self._pending is not None:
            self._pending.add_done_callback(lambda _: self._close_file())
        self._chunks = []
        self._release()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()

    def _free_memory(self) -> None:
        self._limits.memory.release(self._caller, self._in_memory)
        self._in_memory = 0

    def _release(self) -> None:
        self._free_memory()
        self._limits.disk.release(self._caller, self._on_disk)
        self._on_disk = 0
