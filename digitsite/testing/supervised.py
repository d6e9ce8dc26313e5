"""Temporary site started by the supervisor, as `make run` does.

with Supervised(folder) as site:
    site.wait_until_it_answers()
    response = site.draw_a_three()
"""

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import psutil

from .site import BASE_DIR, wait_until

ANSWERS = "The site answers at "
SIGN_IN = "Sign in as its operator, once, with "
# Part of the command line by which each process is recognized.
PARTS = {
    "redis": "valkey-server",
    "web": "granian",
    "predictions": "digitsite.worker predictions",
    "default": "worker default",
}
# Settings that are not inherited from the environment of the test run.
SETTINGS = ("HOST", "PORT", "TRAINER", "REDIS_URL", "DATABASE_URL", "ALLOWED_HOSTS", "DATA_DIR")
# Environment variable by which all processes of one site are found.
MARK = "SITE_UNDER_TEST"


class Supervised:
    """A supervisor and all processes that it starts; they are killed at the end of the block."""

    def __init__(
        self,
        folder: Path,
        *,
        command: tuple[str, ...] = (sys.executable, "-m", "digitsite.supervisor"),
        code: Path = BASE_DIR,
        **settings: str,
    ) -> None:
        self.folder = folder
        self.started = time.monotonic()
        inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        self._mark = uuid.uuid4().hex
        self._out = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the site
        self.process = subprocess.Popen(
            command,
            cwd=code,
            env=inherited | {"DATA_DIR": str(folder), "PORT": "0", MARK: self._mark} | settings,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.STDOUT,
        )
        self.family: dict[int, psutil.Process] = {}

    def __enter__(self) -> "Supervised":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            print(self.output)
        self.look_around()
        self.process.kill()
        self.process.wait(10)
        for process in self.family.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until(lambda: not self.left_behind(), event="the end of every process")
        self._out.close()

    @property
    def output(self) -> str:
        """The output of the supervisor and its processes."""
        return os.pread(self._out.fileno(), 10_000_000, 0).decode(errors="replace")

    @property
    def url(self) -> str:
        """The address of the site, with a slash at the end."""
        return self._line(ANSWERS).split()[0]

    @property
    def sign_in_link(self) -> str:
        """The operator's sign-in link."""
        self.wait_for_words(SIGN_IN)
        return self._line(SIGN_IN)

    def wait_for_words(self, words: str, *, seconds: float = 180, count: int = 1) -> None:
        """Wait until the output contains the words `count` times."""

        def are_printed() -> bool:
            return self.output.count(words) >= count or self.process.poll() is not None

        end = time.monotonic() + seconds
        while not are_printed():
            assert time.monotonic() < end, f"{words!r} was not printed within {seconds} s:\n{self.output}"
            time.sleep(0.02)
        assert self.output.count(words) >= count, self.output

    def wait_until_it_answers(self, *, seconds: float = 180) -> None:
        """Wait until the supervisor reports that the site answers."""
        self.wait_for_words(ANSWERS, seconds=seconds)

    def wait_until_the_start_is_over(self) -> None:
        """Wait until `manage.py prepare` and `manage.py operator` have ended."""
        supervisor = psutil.Process(self.process.pid)

        def is_over() -> bool:
            try:
                return not any("manage.py" in child.cmdline() for child in supervisor.children())
            except psutil.NoSuchProcess:  # a child that has just ended; ZombieProcess is a subclass
                return False

        wait_until(is_over, seconds=90, event="the end of the preparations")

    def wait_until_all_run(self) -> None:
        """Wait until the site answers and all workers are ready."""
        self.wait_until_it_answers()
        for name in ("predictions", "default"):
            wait_until(partial(self.is_ready, name), seconds=90, event=f"{name} being ready")
        self.look_around()

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client with a new cookie jar that ignores proxies of the environment."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30, **options)

    def draw_a_three(self) -> httpx.Response:
        """Post a drawn 3 to the JSON API."""
        with self.client() as client:
            return client.post("api/v1/submissions", json={"strokes": [a_three()]})

    def is_ready(self, name: str) -> bool:
        """Return whether the worker has reported that it is ready."""
        return re.search(rf"^{name} .* ready\.$", self.output, re.MULTILINE) is not None

    # --- Its processes -----------------------------------------------------------------------------------------------

    def look_around(self) -> None:
        """Record every process that descends from this supervisor, including orphaned ones.

        They are found by a variable in their environment; Valkey overwrites its environment and is found as a child.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.family[child.pid] = child
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark:
                    self.family[process.pid] = process

    def left_behind(self) -> list[str]:
        """Return the command lines of processes of this site that still run."""
        self.look_around()
        alive = []
        for process in self.family.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(" ".join(process.cmdline()))
        return alive

    def part(self, name: str) -> psutil.Process:
        """Return the main process of a part; the process that serves requests is a child of the web server's.

        Raises:
            AssertionError: If it does not run.
        """
        for process in psutil.Process(self.process.pid).children():
            if PARTS[name] in " ".join(process.cmdline()):
                return process
        raise AssertionError(f"{name} does not run")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal to the supervisor, wait for its end and return the seconds that it took."""
        self.look_around()
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - started

    def _line(self, beginning: str) -> str:
        for line in self.output.splitlines():
            if line.startswith(beginning):
                return line.removeprefix(beginning)
        raise AssertionError(f"no line {beginning!r} in:\n{self.output}")


def a_three() -> list[list[float]]:
    """Return the single stroke of a 3 in a frame of 280 x 280 units."""
    angles = [math.radians(step * 6) for step in range(41)]
    upper = [(135 + 55 * math.cos(a - 2.618), 90 + 45 * math.sin(a - 2.618)) for a in angles]
    lower = [(135 + 62 * math.cos(a - 1.571), 185 + 52 * math.sin(a - 1.571)) for a in angles]
    return [[x for x, _ in upper + lower], [y for _, y in upper + lower]]
