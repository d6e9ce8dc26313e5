"""Temporary PostgreSQL server of a test run: created for the first test that needs it, removed with the run.

    python -m digitsite.testing.postgresql          finds PostgreSQL or installs Debian's package, and prints its folder
    python -m digitsite.testing.postgresql hold PID FOLDER   serves in FOLDER until the process PID has ended

A separate process owns the server, so that it is stopped however the test run ends. The server writes to the folder
only, listens on a unix socket there, and does without fsync, because its data is temporary. It runs as an ordinary
account, which PostgreSQL requires.
"""

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from digitsite.testing.packages import GetError, install

BASE_DIR = Path(__file__).resolve().parents[2]
# Set by the first process of a run for the others: its process id and the server's folder.
FOLDER_VARIABLE = "TESTS_POSTGRESQL"
# Folders of the server's programs that are not in PATH: Debian, Homebrew and others.
PLACES = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")
USER, TEMPLATE = "digits", "digits_template"
OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
START_SECONDS = 120


@cache
def programs() -> Path | None:
    """Return the folder with `initdb` and `postgres` of the newest version, or None."""
    initdb = shutil.which("initdb")
    folders = [Path(initdb).resolve().parent] if initdb else []
    for pattern in PLACES:
        root, _, rest = pattern.lstrip("/").partition("/")
        folders += sorted(Path("/", root).glob(rest), key=_version, reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def get() -> Path:
    """Find PostgreSQL or install it, and return the folder of its programs.

    Raises:
        GetError: If it is missing and could not be installed.
    """
    if programs() is None:
        install("postgresql")
        programs.cache_clear()
    folder = programs()
    if folder is None:
        raise GetError("the package postgresql has no initdb")
    return folder


def announce() -> None:
    """Called by the first process of a test run: choose the folder, which all others inherit the name of."""
    if FOLDER_VARIABLE not in os.environ:
        os.environ[FOLDER_VARIABLE] = f"{os.getpid()} {tempfile.gettempdir()}/digits-pg-{secrets.token_hex(4)}"


def url(database: str) -> str:
    """Return the `DATABASE_URL` of a database on this run's server."""
    return f"postgres://{USER}@{quote(str(_folder()), safe='')}/{database}"


def create(database: str) -> None:
    """Create a database with all tables and model version 1."""
    _serve()
    with _administrator() as connection:
        _copy(connection, database)


def create_empty(database: str) -> None:
    """Create a database without tables."""
    _serve()
    with _administrator() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))


def renew(database: str) -> None:
    """Replace the database with a new one; open connections are terminated."""
    with _administrator() as connection:
        connection.execute(_drop(database))
        _copy(connection, database)


def drop(database: str) -> None:
    """Drop the database; open connections are terminated."""
    with _administrator() as connection:
        connection.execute(_drop(database))


def restart() -> None:
    """Restart the server: connections are terminated and refused for a moment."""
    folder = _folder()
    process = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(process, signal.SIGINT)  # the owning process starts it again
    _wait(lambda: not _is_up(folder) or _pid(folder) != process)
    _wait(lambda: _is_up(folder))


def refuse_connections(database: str, *, seconds: float) -> None:
    """Terminate and refuse connections to one database, as a restart does, without affecting the others."""
    name = sql.Identifier(database)
    with _administrator() as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])
        time.sleep(seconds)
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


def _copy(connection: psycopg.Connection, database: str) -> None:
    names = sql.Identifier(database), sql.Identifier(TEMPLATE)
    connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))


def _drop(database: str) -> sql.Composed:
    return sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))


def _administrator() -> psycopg.Connection:
    return psycopg.connect(url("postgres"), autocommit=True)


def _folder() -> Path:
    return Path(os.environ[FOLDER_VARIABLE].split(maxsplit=1)[1])


def _serve() -> None:
    """Start the server and create the template database, unless another process has done so."""
    owner, folder = os.environ[FOLDER_VARIABLE].split(maxsplit=1)[0], _folder()
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "ready").exists():
            return
        folder.mkdir(mode=0o700)
        log = Path(f"{folder}.log")
        with log.open("wb") as output:
            subprocess.run(
                [sys.executable, "-m", "digitsite.testing.postgresql", "hold", owner, str(folder)],
                cwd=BASE_DIR, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=True,
            )  # fmt: skip
        _wait(lambda: _is_up(folder) or not folder.exists())
        if not folder.exists():
            raise GetError(f"PostgreSQL does not start:\n{log.read_text(errors='replace')}")
        with _administrator() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"],
            cwd=BASE_DIR, env=os.environ | {"DATABASE_URL": url(TEMPLATE)}, check=True,
        )  # fmt: skip
        (folder / "ready").touch()


def hold(owner: int, folder: Path) -> None:
    """Create a cluster and serve until `owner` has ended; restart the server if it ends before; remove all files.

    Returns immediately: the work is done by a daemon process.
    """
    if os.fork():
        return
    os.setsid()
    try:
        _hold(owner, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        Path(f"{folder}.lock").unlink(missing_ok=True)
    Path(f"{folder}.log").unlink()


def _hold(owner: int, folder: Path) -> None:
    binaries = get()
    account = _ordinary_account()
    user: dict[str, Any] = {}
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    data = folder / "data"
    subprocess.run(
        [binaries / "initdb", "--no-sync", "--username", USER, "--auth", "trust", "--encoding", "UTF8",
         "--locale", "C", "--no-instructions", "--pgdata", data],
        cwd=folder, check=True, **user,
    )  # fmt: skip
    options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
    server: subprocess.Popen[bytes] | None = None
    while _lives(owner):
        if server is None or server.poll() is not None:
            command = [str(binaries / "postgres"), "-D", str(data), "-k", str(folder), *options]
            server = subprocess.Popen(command, cwd=folder, **user)
        time.sleep(0.2)  # not a child process, so its end cannot be awaited
    if server is not None:
        server.send_signal(signal.SIGINT)
        server.wait(20)


def _ordinary_account() -> pwd.struct_passwd | None:
    """Return the account that the server runs as, or None for the current one."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise GetError("PostgreSQL does not run as root, and there is neither an account postgres nor nobody.")


def _is_up(folder: Path) -> bool:
    try:
        psycopg.connect(host=str(folder), user=USER, dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _pid(folder: Path) -> int:
    try:
        return int((folder / "data" / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return 0


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _wait(done: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while not done():
        if time.monotonic() > end:
            raise GetError(f"PostgreSQL did not come up within {START_SECONDS} s.")
        time.sleep(0.02)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.rpartition("-")[2].split(".") if part.isdigit())


if __name__ == "__main__":
    if sys.argv[1:2] == ["hold"]:
        hold(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        try:
            print(f"tests of PostgreSQL run with {get()}")
        except GetError as error:
            print(f"There is no PostgreSQL; the tests that need it are skipped ({error}).")
