"""Faults that are injected into the processes of a running site. Each has ended when its function returns."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

from digitsite import redis_urls
from digitsite.testing import postgresql
from digitsite.testing.supervised import Supervised

MEDIA_BYTES = 48 * 1024 * 1024


@dataclass
class Breaker:
    """Injects faults into a site.

    Attributes:
        site: The running site.
        chance: Source of randomness.
        freeze_seconds: How long Redis is suspended.
        database: Name of the PostgreSQL database, or empty.
        own_server: Whether the PostgreSQL server belongs to this run only and may be restarted.
    """

    site: Supervised
    chance: random.Random
    freeze_seconds: float
    database: str = ""
    own_server: bool = False

    def kinds(self) -> dict[str, Callable[[], None]]:
        """Return the faults that are possible here, by name."""
        kinds = {
            f"kill -9 {part}": lambda part=part: self.kill(part) for part in ("predictions", "default", "web", "redis")
        }
        kinds |= {"freeze Redis": self.freeze_redis, "flush Redis": self.flush_redis}
        if self.database:
            kinds["restart PostgreSQL"] = self.restart_database
        if os.path.ismount(self.media):
            kinds["fill the disk of the pictures"] = self.fill_disk
        return kinds

    @property
    def media(self) -> Path:
        return self.site.folder / "media"

    def kill(self, part: str) -> None:
        """Kill all processes of a part of the site. They may have ended already, together with one they depend on."""
        with suppress(AssertionError, psutil.NoSuchProcess):
            main = self.site.part(part)
            for process in [*main.children(recursive=True), main]:
                process.kill()

    def freeze_redis(self) -> None:
        with suppress(AssertionError):
            frozen = self.site.part("redis")
            frozen.suspend()
            time.sleep(self.freeze_seconds)
            frozen.resume()

    def flush_redis(self) -> None:
        url = redis_urls.database_url(f"unix://{self.site.folder / 'redis.sock'}", 0)
        with suppress(redis.RedisError):
            redis.Redis.from_url(url, socket_timeout=5).flushall()

    def restart_database(self) -> None:
        if self.own_server:
            postgresql.restart()
        else:
            postgresql.refuse_connections(self.database, seconds=self.chance.uniform(0.5, 1.5))

    def fill_disk(self) -> None:
        """Fill the file system of the images for two seconds."""
        ballast = self.media / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(65_536))
        time.sleep(2)
        ballast.unlink()


def mount_small_disk(folder: Path) -> str:
    """Mount a file system of MEDIA_BYTES for the images; return the reason if that is impossible."""
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mount"):
        return "only root on Linux can make a small file system; the disk is not filled"
    command = ["mount", "-t", "tmpfs", "-o", f"size={MEDIA_BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"the disk is not filled: {done.stderr.strip()}" if done.returncode else ""


def unmount(folder: Path) -> None:
    if os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
