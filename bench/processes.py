"""Processes under measurement: start, end, memory and processor time."""

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
    """Return the memory of processes and their children in MB; shared pages count once where the system reports PSS."""
    total = 0
    for process in families(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    return total / 2**20


def processor_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of processes and their children, which other load affects less than wall time."""
    total = 0.0
    for process in families(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def families(pids: Iterable[int]) -> list[psutil.Process]:
    """Return the processes and all their descendants, each once."""
    members: dict[int, psutil.Process] = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            members |= {member.pid: member for member in [process, *process.children(recursive=True)]}
    return list(members.values())


def free_port() -> int:
    """Return a TCP port of the loopback interface that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str], *, environment: dict[str, str], log: Path, folder: Path) -> Iterator[int]:
    """Run a server in a new process group; yield its process id and end it with all its children."""
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
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=10)


def wait_until_it_answers(url: str, body: bytes, content_type: str, *, log: Path) -> None:
    """Repeat the request until the response is a success.

    Args:
        url: Address to post to.
        body: Body of the request.
        content_type: Content type of the body.
        log: Log file of the server, for the error message.

    Raises:
        TimeoutError: If there is no success within START_SECONDS.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.post(url, content=body, headers={"Content-Type": content_type}, trust_env=False, timeout=30)
            if answer.is_success:
                return
        time.sleep(0.2)
    raise TimeoutError(f"{url} does not answer:\n{log.read_text(errors='replace')[-3000:]}")
