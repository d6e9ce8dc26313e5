"""One part of the site: a process in a group of its own, whose lines are passed on and which is started again."""

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from .guard import Guard

BASE_DIR = Path(__file__).resolve().parent.parent.parent

MIN_DELAY, MAX_DELAY = 0.2, 5.0
# A part that ran this long was well; its next death counts as the first.
STABLE_AFTER = 20.0
MAX_LINE_LENGTH = 64 * 1024
# What is repeated of a part that cannot start.
MAX_KEPT_LINES = 8


class ManagedProcess:
    def __init__(
        self, name: str, command: list[str], say: Callable[[str, str], None], guard: Guard, *, once: bool = False
    ) -> None:
        """
        Args:
            name: as the log calls it.
            command: the command line.
            say: takes (name, line); gets every line that the part writes, and what happens to the part.
            guard: is told of each process group.
            once: it does its work and ends; it is not started again.
        """
        self.name = name
        self.command = command
        self.exit_status: int | None = None
        self._again = not once
        self._say = say
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        self._equal_deaths = 0
        self._last_lines: deque[str] = deque(maxlen=MAX_KEPT_LINES)
        self._started = 0.0
        self._again_at: float | None = None
        self._rest = b""

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def output(self) -> int:
        """The file descriptor from which the part's lines are to be read."""
        return self._process.stdout.fileno()

    @property
    def restart_at(self) -> float | None:
        """When a part that died is due again, on the monotonic clock."""
        return self._again_at

    @property
    def equal_deaths(self) -> int:
        """How many times in a row it ended within seconds and with the same exit status."""
        return self._equal_deaths

    def forget_deaths(self) -> None:
        """What it failed for has been put right."""
        self._equal_deaths = 0

    def why(self) -> str:
        """Why it does not run, in the words of its last lines."""
        lines = "".join(f"\n    {line}" for line in self._last_lines)
        return f"{self.name} cannot start: it ended {self._equal_deaths} times ({_how(self.exit_status)}).{lines}"

    def start(self, environment: dict[str, str]) -> None:
        self._again_at = None
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            self.command,
            cwd=BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the supervisor alone; and the whole group can be ended
        )
        self._guard.watch(self._process.pid)
        os.set_blocking(self.output, False)

    def read(self) -> None:
        """Pass on what the part has written so far."""
        try:
            data = os.read(self.output, MAX_LINE_LENGTH)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_LENGTH:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._pass_on(line)

    def has_ended(self) -> bool:
        """True once, when the process has ended; what it left of its group is ended too."""
        if self._process is None or self._process.poll() is None:
            return False
        self.signal_group(signal.SIGKILL)
        self._guard.forget(self._process.pid)
        self.read()
        if self._rest:
            self._pass_on(self._rest)
            self._rest = b""
        was_well = time.monotonic() - self._started > STABLE_AFTER
        is_equal = self.exit_status == self._process.returncode
        self._equal_deaths = 0 if was_well else self._equal_deaths + 1 if is_equal else 1
        self.exit_status = self._process.returncode
        return True

    def _pass_on(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        if text.strip():
            self._last_lines.append(text)
        self._say(self.name, text)

    def close(self) -> None:
        """After has_ended: let go of the ended process, and plan the next start unless it was told to stop."""
        self._process.stdout.close()
        self._process = None
        if not self._again:
            return
        now = time.monotonic()
        if now - self._started > STABLE_AFTER:
            self._deaths = 0
        delay = min(MIN_DELAY * 2**self._deaths, MAX_DELAY)
        self._deaths += 1
        self._again_at = now + delay
        self._say(
            "site", f"{self.name} ended unexpectedly ({_how(self.exit_status)}); starting it again in {delay:g} s"
        )

    def stop(self) -> None:
        """Ask it to end."""
        self._again = False
        self._again_at = None
        if self._process is not None:
            self._process.terminate()
            # A stopped process (SIGSTOP) gets the signal only once it goes on.
            self._process.send_signal(signal.SIGCONT)

    def kill(self, why: str) -> None:
        """End it at once; unlike after `stop`, it is started again."""
        self._say("site", f"{self.name} {why}; ending it")
        self.signal_group(signal.SIGKILL)

    def signal_group(self, number: signal.Signals) -> None:
        # Nobody may be left; macOS says EPERM of a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _how(exit_status: int) -> str:
    if exit_status < 0:
        return signal.Signals(-exit_status).name
    return f"exit status {exit_status}"
