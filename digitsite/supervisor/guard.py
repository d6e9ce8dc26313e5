"""Nobody is left behind: one supervisor a data folder, and a tiny process that outlives a killed supervisor.

The guard is an `sh` that reads from a pipe which only the supervisor can write to. When the supervisor ends, however
it ends, the pipe closes, and the guard ends every part that the supervisor had told it of. It also holds the lock
on the data folder, so that a new supervisor waits until the old one's parts are gone.
"""

import fcntl
import os
import subprocess
import time
from pathlib import Path

from .options import StartError

LOCK_FILE = "supervisor.lock"
# The guard gives parts 3 s to end by themselves.
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
    """The data folder is ours alone, from here until the supervisor and its guard have ended."""

    def __init__(self, data_dir: Path) -> None:
        """
        Raises:
            StartError: another supervisor runs on this folder, or the folder cannot be written.
        """
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = (data_dir / LOCK_FILE).open("a+")  # held until the process ends
        except OSError as error:
            raise StartError(f"The data folder {data_dir} cannot be written ({error.strerror}).") from error
        self._take(data_dir)
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()

    def _take(self, data_dir: Path) -> None:
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
                time.sleep(0.05)  # its supervisor is dead and its guard is clearing up: nothing to be told by
            else:
                return

    def _owner(self) -> int:
        self._file.seek(0)
        written = self._file.read().strip()
        return int(written) if written.isdigit() else 0


class Guard:
    """Ends the parts if the supervisor cannot."""

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

    def watch(self, group: int) -> None:
        self._say(f"watch {group}\n")

    def forget(self, group: int) -> None:
        self._say(f"forget {group}\n")

    def dismiss(self) -> None:
        """Everybody has ended: so does the guard."""
        self._process.stdin.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError as error:
            raise StartError("The guard process was ended from outside; the site stops, to leave nobody.") from error


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
