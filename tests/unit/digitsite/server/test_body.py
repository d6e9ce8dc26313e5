"""Reception of a request body: limits, budgets and cleanup after failures."""

import asyncio
import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from digitsite.server.body import (
    Body,
    BodyError,
    BodyReceiver,
    ClientDisconnectedError,
    Limits,
)
from digitsite.server.byte_budget import ByteBudget

MEGABYTE = 1024 * 1024


@pytest.fixture
def disk() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def limits(tmp_path: Path) -> Limits:
    return Limits(20, 500, memory=ByteBudget(MEGABYTE), disk=ByteBudget(20 * MEGABYTE), folder=tmp_path)


class Sender:
    """A client that sends pieces in order; a float is a delay in seconds."""

    def __init__(self, pieces: Iterable[bytes | float], *, ends: bool = True) -> None:
        self._pieces = iter(pieces)
        self._ends = ends

    async def __call__(self) -> dict:
        for piece in self._pieces:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
                continue
            return {"type": "http.request", "body": piece, "more_body": True}
        if self._ends:
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.disconnect"}


def receive(
    sender: Sender,
    limits: Limits,
    disk: ThreadPoolExecutor,
    *,
    length: int | None = None,
    max_size: int = 10 * MEGABYTE,
) -> Body:
    receiver = BodyReceiver(sender, caller="192.0.2.1", max_size=max_size, limits=limits, disk=disk)
    return asyncio.run(receiver.receive(length))


def assert_nothing_is_reserved(limits: Limits) -> None:
    assert (limits.memory.used, limits.disk.used) == (0, 0)


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3 * MEGABYTE])
@pytest.mark.parametrize("is_announced", [True, False])
def test_body_is_received_completely(size: int, is_announced: bool, limits: Limits, disk: ThreadPoolExecutor) -> None:
    data = os.urandom(size)
    pieces = [data[start : start + 40_000] for start in range(0, size, 40_000)]
    body = receive(Sender(pieces), limits, disk, length=size if is_announced else None)
    assert body.size == size
    assert body.stream.read() == data
    is_small = size <= 64 * 1024
    assert (limits.memory.used, limits.disk.used) == ((size, 0) if is_small else (0, size))
    body.close()
    body.release()
    assert_nothing_is_reserved(limits)


def test_body_with_content_length_is_complete_without_the_end_of_the_stream(
    limits: Limits, disk: ThreadPoolExecutor
) -> None:
    assert receive(Sender([b"abc", 60.0]), limits, disk, length=3).stream.read() == b"abc"


def test_stalled_body_times_out(limits: Limits, disk: ThreadPoolExecutor, tmp_path: Path) -> None:
    hasty = Limits(0.05, 1_000_000_000, limits.memory, limits.disk, tmp_path)
    for pieces in ([60.0], [b"a", 60.0], [bytes(MEGABYTE), 60.0]):
        with pytest.raises(BodyError, match="body_timeout"):
            receive(Sender(pieces), hasty, disk, length=2 * MEGABYTE)
        assert_nothing_is_reserved(limits)


def test_slow_body_at_the_minimum_rate_is_received(limits: Limits, disk: ThreadPoolExecutor) -> None:
    patient = Limits(0.2, 100, limits.memory, limits.disk, limits.folder)
    pieces = [piece for _ in range(10) for piece in (bytes(100), 0.05)]  # half a second in all
    assert receive(Sender(pieces), patient, disk).size == 1000


def test_too_large_content_length_is_rejected_before_reading(limits: Limits, disk: ThreadPoolExecutor) -> None:
    with pytest.raises(BodyError, match="body_too_large"):
        receive(Sender([60.0]), limits, disk, length=10 * MEGABYTE + 1)


def test_chunked_body_is_rejected_as_soon_as_it_is_too_large(limits: Limits, disk: ThreadPoolExecutor) -> None:
    with pytest.raises(BodyError, match="body_too_large"):
        receive(Sender([bytes(MEGABYTE)] * 11, ends=False), limits, disk)
    assert_nothing_is_reserved(limits)


def test_body_is_rejected_if_the_budget_is_used_up(limits: Limits, disk: ThreadPoolExecutor) -> None:
    limits.disk.reserve("198.51.100.7", 12 * MEGABYTE)
    with pytest.raises(BodyError, match="busy"):
        receive(Sender([bytes(MEGABYTE)] * 9), limits, disk)
    assert (limits.memory.used, limits.disk.used) == (0, 12 * MEGABYTE)


def test_disconnected_client_leaves_nothing_reserved(limits: Limits, disk: ThreadPoolExecutor) -> None:
    with pytest.raises(ClientDisconnectedError):
        receive(Sender([bytes(MEGABYTE)], ends=False), limits, disk, length=2 * MEGABYTE)
    assert_nothing_is_reserved(limits)


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "storage_full"), (errno.EACCES, "storage_unavailable")])
def test_full_disk_and_unwritable_directory_are_different_errors(
    limits: Limits,
    disk: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: str,
) -> None:
    def fail(**_options: object) -> None:
        raise OSError(number, "No file can be made")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    with pytest.raises(BodyError, match=code):
        receive(Sender([bytes(MEGABYTE)]), limits, disk)
    assert_nothing_is_reserved(limits)
