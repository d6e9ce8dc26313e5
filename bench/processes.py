"""The processes of what is measured: starting and ending them, their memory."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import httpx
import psutil

START_SECONDS = 120


def megabytes(pids: Iterable[int]) -> float:
    """Memory of processes and their children in MB; what they share counts once (PSS, where there is one)."""
    total = 0
    for process in families(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    return total / 2**20


def processor_seconds(pids: Iterable[int]) -> float:
    """Processor time that processes and their children have used. It grows less on a busy machine than time does."""
    total = 0.0
    for process in families(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def families(pids: Iterable[int]) -> list[psutil.Process]:
    """The processes and all that came of them, each once."""
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found |= {one.pid: one for one in [process, *process.children(recursive=True)]}
    return list(found.values())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command: Sequence[str], *, environment: dict[str, str], log: Path, folder: Path) -> Iterator[int]:
    """A server in a process group of its own; gives its process id and ends it with all its children."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        family = families([process.pid])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(family, timeout=10)


def wait_until_it_answers(url: str, body: bytes, content_type: str, *, log: Path) -> None:
    """Send the request again and again until it is answered well.

    Raises:
        TimeoutError: with what the server wrote.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.post(url, content=body, headers={"Content-Type": content_type}, trust_env=False, timeout=30)
            if answer.is_success:
                return
        time.sleep(0.2)
    raise TimeoutError(f"{url} does not answer:\n{log.read_text(errors='replace')[-3000:]}")
