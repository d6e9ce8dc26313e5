"""Lock on the data directory, and the guard process that stops the child processes of a killed supervisor.

The guard is an `sh` that reads from a pipe of which only the supervisor has the write end. When the supervisor ends, in
any way, the pipe is closed, and the guard stops all process groups that it was told to watch. It also holds the
lock on the data directory, so that a new supervisor waits until the processes of the old one have ended.
"""

import contextlib
import fcntl
import os
import subprocess
import time
from pathlib import Path
from typing import IO, cast

from .options import StartError

LOCK_FILE = "supervisor.lock"
# The guard waits 3 s before it sends SIGKILL.
LOCK_SECONDS = 6.0

SCRIPT = """
trap '' TERM INT HUP QUIT
groups=' '
while read -r word group; do
  case $word in
    watch) groups="$groups$group " ;;
    forget) case $groups in *" $group "*) groups="${groups%% $group *} ${groups#* $group }" ;; esac ;;
  esac
done
for group in $groups; do kill -TERM "$group"; done
tries=30
while [ $tries -gt 0 ]; do
  left=
  for group in $groups; do kill -0 "-$group" && left=yes; done
  [ -z "$left" ] && exit 0
  sleep 0.1
  tries=$((tries - 1))
done
for group in $groups; do kill -KILL "-$group"; done
"""


class Lock:
    """Exclusive lock on the data directory, held until the supervisor and its guard have ended.

    Args:
        data_dir: The data directory; it is created if it does not exist.

    Raises:
        StartError: Another supervisor uses this directory, or it cannot be written.
    """

    def __init__(self, data_dir: Path) -> None:
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = (data_dir / LOCK_FILE).open("a+")  # stays open until the process ends
        except OSError as error:
            raise StartError(f"The data folder {data_dir} cannot be written ({error.strerror}).") from error
        self._acquire(data_dir)
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def fileno(self) -> int:
        """Return the file descriptor of the lock file."""
        return self._file.fileno()

    def _acquire(self, data_dir: Path) -> None:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = self._owner()
                if (owner and _is_alive(owner)) or time.monotonic() > deadline:
                    raise StartError(
                        f"The site runs already on the data folder {data_dir}"
                        + (f" (process {owner})." if owner else ".")
                        + " Stop it first, or give this one a folder of its own: make run DATA_DIR=…"
                    ) from None
                time.sleep(0.05)  # the guard of a dead supervisor still stops processes; it cannot notify this one
            else:
                return

    def _owner(self) -> int:
        self._file.seek(0)
        content = self._file.read().strip()
        return int(content) if content.isdigit() else 0


class Guard:
    """A process that stops all watched process groups when the supervisor ends.

    Args:
        lock: The lock that the guard holds as well.
    """

    def __init__(self, lock: Lock) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
            bufsize=0,
        )
        self._pipe = cast("IO[bytes]", self._process.stdin)

    def watch(self, group: int) -> None:
        """Stop this process group when the supervisor ends."""
        self._send(f"watch {group}\n")

    def forget(self, group: int) -> None:
        """Stop watching a process group that has ended."""
        self._send(f"forget {group}\n")

    def dismiss(self) -> None:
        """End the guard, after all processes have ended."""
        self._pipe.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        try:
            self._pipe.write(line.encode())
        except BrokenPipeError as error:
            raise StartError("The guard process was killed. The site stops, to leave no process behind.") from error


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(PermissionError):  # it is alive and belongs to another account
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
