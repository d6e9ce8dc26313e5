"""A whole site started by the supervisor, exactly as `make run` starts it, on a data folder of its own.

with Supervised(folder) as site:
    site.wait_until_it_answers()
    answer = site.draw_a_three()
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
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import psutil

from .site import BASE_DIR, wait_until

ANSWERS = "The site answers at "
SIGN_IN = "Sign in as its operator, once, with "
# How the supervisor's command line, and those of its parts, are told apart.
PARTS = {
    "redis": "valkey-server",
    "web": "granian",
    "predictions": "digitsite.worker predictions",
    "default": "worker default",
    "trainer": "digitsite.worker train",
}
# Told to the supervisor by nobody but the test.
SETTINGS = ("HOST", "PORT", "TRAINER", "REDIS_URL", "DATABASE_URL", "ALLOWED_HOSTS", "DATA_DIR")
# Inherited by every process of one site, by which they are found.
MARK = "SITE_UNDER_TEST"


class Supervised:
    """The supervisor, or `make run` before it, and everything it starts. On leaving, what is left is killed."""

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
        kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        self._mark = uuid.uuid4().hex
        self._out = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the site
        self.process = subprocess.Popen(
            command,
            cwd=code,
            env=kept | {"DATA_DIR": str(folder), "PORT": "0", MARK: self._mark} | settings,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.STDOUT,
        )
        self.family: dict[int, psutil.Process] = {}

    def __enter__(self) -> "Supervised":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            print(self.said)
        self.look_around()
        self.process.kill()
        self.process.wait(10)
        for process in self.family.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until(lambda: not self.left_behind(), what="the end of every process")
        self._out.close()

    @property
    def said(self) -> str:
        """Everything that it and its parts have written so far."""
        return os.pread(self._out.fileno(), 10_000_000, 0).decode(errors="replace")

    @property
    def url(self) -> str:
        return self._line(ANSWERS).split()[0]

    @property
    def sign_in_link(self) -> str:
        self.wait_for_words(SIGN_IN)
        return self._line(SIGN_IN)

    def wait_for_words(self, words: str, *, seconds: float = 180, count: int = 1) -> None:
        def are_there() -> bool:
            return self.said.count(words) >= count or self.process.poll() is not None

        end = time.monotonic() + seconds
        while not are_there():
            assert time.monotonic() < end, f"{words!r} was not said within {seconds} s, but:\n{self.said}"
            time.sleep(0.02)
        assert self.said.count(words) >= count, self.said

    def wait_until_it_answers(self, *, seconds: float = 180) -> None:
        self.wait_for_words(ANSWERS, seconds=seconds)

    def wait_until_the_start_is_over(self) -> None:
        """Until what only runs at the start has ended: `manage.py prepare` and `operator`."""
        supervisor = psutil.Process(self.process.pid)

        def is_over() -> bool:
            try:
                return not any("manage.py" in child.cmdline() for child in supervisor.children())
            except psutil.NoSuchProcess:  # a child that ended just now; ZombieProcess is one too
                return False

        wait_until(is_over, seconds=90, what="the end of the preparations")

    def wait_until_all_run(self) -> None:
        self.wait_until_it_answers()
        for name in ("predictions", "default", "trainer"):
            wait_until(lambda name=name: self.is_ready(name), seconds=90, what=f"{name} being ready")
        self.look_around()

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30, **options)

    def draw_a_three(self) -> httpx.Response:
        """Post a drawn 3 to the JSON API."""
        with self.client() as client:
            return client.post("api/v1/submissions", json={"strokes": [a_three()]})

    def is_ready(self, name: str) -> bool:
        """Whether the worker `name` has said that it takes messages."""
        return re.search(rf"^{name} .* ready\.$", self.said, re.MULTILINE) is not None

    # --- Its processes -----------------------------------------------------------------------------------------------

    def look_around(self) -> None:
        """Remember every process that came from this supervisor, whoever its parent is by now.

        By the mark in its environment; Valkey writes its title over that, and is found as a child while it is one.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.family[child.pid] = child
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark:
                    self.family[process.pid] = process

    def left_behind(self) -> list[str]:
        """The command lines of what still runs of this site."""
        self.look_around()
        alive = []
        for process in self.family.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(" ".join(process.cmdline()))
        return alive

    def part(self, name: str) -> psutil.Process:
        """The main process of a part; of the web server the one that answers is its child."""
        for process in psutil.Process(self.process.pid).children():
            if PARTS[name] in " ".join(process.cmdline()):
                return process
        raise AssertionError(f"no part {name} runs")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> float:
        """End it with a signal; returns the seconds until the supervisor was gone."""
        self.look_around()
        started = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(30)
        return time.monotonic() - started

    def _line(self, beginning: str) -> str:
        for line in self.said.splitlines():
            if line.startswith(beginning):
                return line.removeprefix(beginning)
        raise AssertionError(f"no line {beginning!r} in:\n{self.said}")


def a_three() -> list[list[float]]:
    """One stroke, two bows: a 3 in a frame of 280 x 280."""
    angles = [math.radians(step * 6) for step in range(41)]
    upper = [(135 + 55 * math.cos(a - 2.618), 90 + 45 * math.sin(a - 2.618)) for a in angles]
    lower = [(135 + 62 * math.cos(a - 1.571), 185 + 52 * math.sin(a - 1.571)) for a in angles]
    return [[x for x, _ in upper + lower], [y for _, y in upper + lower]]
