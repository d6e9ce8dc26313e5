"""A child process of the supervisor, in a process group of its own."""

import contextlib
import math
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from .guard import Guard

BASE_DIR = Path(__file__).resolve().parent.parent.parent

# Delay before a restart, in seconds; it doubles with each failure in a row of the same exit status.
MIN_DELAY, MAX_DELAY = 0.2, 5.0
# A process that ran this long, in seconds, was stable: the count of failures starts again.
STABLE_AFTER = 20.0
MAX_LINE_LENGTH = 64 * 1024
# Lines of output that are repeated if a process cannot start.
MAX_LAST_LINES = 8


class ManagedProcess:
    """A process whose output is logged line by line and which is restarted when it ends.

    Args:
        name: Name in the log.
        command: Command line.
        log: Called with (name, line) for each line of output and for events of the process.
        guard: Is told of each process group.
        oneshot: The process ends when its work is done and is not restarted.

    Attributes:
        exit_status: Status at its last end; negative for a signal.
        equal_failures: Number of times in a row that it ended before it was stable, with the same exit status.
        restart_at: When to restart the process, on the monotonic clock; infinite if no restart is planned.
    """

    def __init__(
        self, name: str, command: list[str], log: Callable[[str, str], None], guard: Guard, *, oneshot: bool = False
    ) -> None:
        self.name = name
        self.command = command
        self.exit_status: int | None = None
        self.equal_failures = 0
        self.restart_at = math.inf
        self._restarts = not oneshot
        self._log = log
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._last_lines: deque[str] = deque(maxlen=MAX_LAST_LINES)
        self._started = 0.0
        self._buffer = b""

    @property
    def is_running(self) -> bool:
        """True if the process was started and has not been reaped."""
        return self._process is not None

    @property
    def output(self) -> int:
        """File descriptor of the process's output."""
        return self._pipe.fileno()

    @property
    def failure_message(self) -> str:
        """Exit status and last lines of a process that cannot start."""
        lines = "".join(f"\n    {line}" for line in self._last_lines)
        status = _describe(self.exit_status)
        return f"{self.name} cannot start: it ended {self.equal_failures} times ({status}).{lines}"

    def start(self, environment: dict[str, str]) -> None:
        """Start the process."""
        self.restart_at = math.inf
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            self.command,
            cwd=BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,  # Ctrl-C reaches only the supervisor, and the whole group can be killed
        )
        self._guard.watch(self._process.pid)
        os.set_blocking(self.output, False)

    def read(self) -> None:
        """Log the lines that the process has written so far."""
        try:
            data = os.read(self.output, MAX_LINE_LENGTH)
        except BlockingIOError:
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > MAX_LINE_LENGTH:
            lines, self._buffer = [*lines, self._buffer], b""
        for line in lines:
            self._log_output(line)

    def reap(self) -> bool:
        """Collect the exit status if the process has ended, and kill the rest of its group.

        Returns:
            Whether the process has ended. `close` has to follow.
        """
        if self._process is None or self._process.poll() is None:
            return False
        self.signal_group(signal.SIGKILL)
        self._guard.forget(self._process.pid)
        self.read()
        if self._buffer:
            self._log_output(self._buffer)
            self._buffer = b""
        was_stable = time.monotonic() - self._started > STABLE_AFTER
        is_equal = self.exit_status == self._process.returncode
        self.equal_failures = 0 if was_stable else self.equal_failures + 1 if is_equal else 1
        self.exit_status = self._process.returncode
        return True

    def close(self) -> None:
        """Release a process that was reaped, and plan its restart unless it is oneshot or was stopped."""
        self._pipe.close()
        self._process = None
        if not self._restarts:
            return
        doublings = min(max(0, self.equal_failures - 1), 10)  # a larger power would not fit into a float
        delay = min(MIN_DELAY * 2**doublings, MAX_DELAY)
        self.restart_at = time.monotonic() + delay
        status = _describe(self.exit_status)
        self._log("site", f"{self.name} ended unexpectedly ({status}); starting it again in {delay:g} s")

    def stop(self) -> None:
        """Send SIGTERM and do not restart the process."""
        self._restarts = False
        self.restart_at = math.inf
        if self._process is not None:
            self._process.terminate()
            # A suspended process (SIGSTOP) receives SIGTERM only after it continues.
            self._process.send_signal(signal.SIGCONT)

    def kill(self, reason: str) -> None:
        """Kill the process group. Unlike after `stop`, the process is restarted."""
        self._log("site", f"{self.name} {reason}; ending it")
        self.signal_group(signal.SIGKILL)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process group."""
        # The group may have ended; macOS reports EPERM for a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)

    @property
    def _child(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running.")
        return self._process

    @property
    def _pipe(self) -> IO[bytes]:
        return cast("IO[bytes]", self._child.stdout)

    def _log_output(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        if text.strip():
            self._last_lines.append(text)
        self._log(self.name, text)


def _describe(exit_status: int | None) -> str:
    if exit_status is None:
        return "running"
    if exit_status < 0:
        return signal.Signals(-exit_status).name
    return f"exit status {exit_status}"
