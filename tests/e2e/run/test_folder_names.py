"""Data directories whose names have special characters of URLs, shells or Makefiles."""

import os
import shutil
import sqlite3
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection
from redis.connection import parse_url

from digitsite import env, redis_urls
from digitsite.data_directory import data_dir
from digitsite.testing.site import BASE_DIR
from digitsite.testing.supervised import SETTINGS, Supervised
from tests.support.settings import import_settings

PRINTABLE = "".join(char for char in string.printable if char.isprintable() and char != "/")
# 180 characters, too many for the path of a socket, which is in another directory in this case.
LONG = "æ日" * 20 + "a b" * 46 + "z"
NAMES = [
    "a#1",
    "a?b=c",
    "a;b",
    "100%",
    "100%25",
    "100%2F",
    " a ",
    "~",
    "-x",
    ":memory:",
    "mode=memory",
    "日本é\u3000x",
    LONG,
]
NASTY = " " + "".join(char for char in PRINTABLE if not char.isalnum()) + "%25日\u00a0"


def read_settings(monkeypatch: pytest.MonkeyPatch, folder: str) -> dict:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", folder)
    return import_settings(monkeypatch)


@pytest.mark.parametrize("name", [*NAMES, *(f"a{char}b" for char in PRINTABLE if not char.isalnum())])
def test_database_images_and_redis_use_the_data_directory_with_any_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name
    settings = read_settings(monkeypatch, str(folder))
    sqlite3.connect(settings["DATABASES"]["default"]["NAME"], uri=True).execute("CREATE TABLE one (two)")
    settings["MEDIA_ROOT"].mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {path.name for path in folder.iterdir()} == {"db.sqlite3", "media", "secret_key"}
    socket = str(redis_urls.embedded_socket(folder))
    assert socket == str(folder / "redis.sock") or len(os.fsencode(folder)) > 80
    assert parse_url(settings["HANDOFF_URL"])["path"] == socket
    assert broker_socket(settings["CELERY_BROKER_URL"]) == socket


def broker_socket(url: str) -> str:
    """Return the socket that Celery's broker connection uses."""
    connection = Connection(url)
    assert connection.alt in ([], [connection.hostname])
    transport = connection.get_transport_cls()(connection)
    channel = object.__new__(transport.Channel)
    channel.connection = transport
    parameters = channel._connparams()
    assert parameters["db"] == redis_urls.BROKER
    return parameters["path"]


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x7fb", "a\u2028b", "a\udcffb"])
def test_directory_name_with_control_characters_is_rejected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / name))
    with pytest.raises(ImproperlyConfigured, match="The data folder is ") as refusal:
        data_dir()
    assert str(refusal.value).isprintable()


def test_unknown_account_in_the_path_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", "~no-such-account/data")
    with pytest.raises(ImproperlyConfigured, match="which is no folder"):
        data_dir()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("unix:///srv/a#1/redis.sock", "write %23"),
        ("unix:///srv/redis.sock?db=3", "write %23 and %3F"),
        ("unix://srv/redis.sock", "not absolute"),
        ("redis://host:6379?timeout=3", "Options are for rediss:// alone"),
        ("redis://host:port", "REDIS_URL is invalid"),
        ("redis://[::1", "REDIS_URL is invalid"),
        ("redis:///1", "REDIS_URL is invalid"),
        ("http://host", "REDIS_URL is invalid"),
    ],
)
def test_invalid_redis_url_is_rejected(url: str, words: str) -> None:
    for read in (redis_urls.broker_url, redis_urls.broker_tls, lambda url: redis_urls.database_url(url, 1)):
        with pytest.raises(ImproperlyConfigured, match=words):
            read(url)


def test_both_clients_parse_password_and_special_characters_of_a_socket_url() -> None:
    url = "unix://:pa%2Fss@/srv/a b;c%23/100%/redis.sock"
    options = parse_url(redis_urls.database_url(url, 1))
    assert (options["path"], options["password"], options["db"]) == ("/srv/a b;c#/100%/redis.sock", "pa/ss", 1)
    assert broker_socket(redis_urls.broker_url(url)) == "/srv/a b;c#/100%/redis.sock"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgres://user:pa#ss@host/db", "must look like postgres://"),
        ("postgres://host:port/db", "must look like postgres://"),
        ("postgres://host/db#1", "write %23"),
        ("mysql://host/db", "must look like postgres://"),
        ("db.sqlite3", "must look like postgres://"),
        ("sqlite:////srv/a#1/db.sqlite3", "write %23"),
        ("sqlite:////srv/a?1/db.sqlite3", "write %23"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_invalid_database_url_is_rejected_without_showing_the_password(
    monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    (error,) = env.find_errors()
    assert error.startswith("DATABASE_URL ")
    assert words in error
    assert "pa#ss" not in error


def test_relative_sqlite_path_is_resolved_against_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///here/a%23b.sqlite3")
    assert env.read("DATABASE_URL")["NAME"] == Path(BASE_DIR, "here", "a#b.sqlite3")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A directory whose path is short enough for a socket in it."""
    folder = Path(tempfile.mkdtemp(prefix="d-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.acceptance
@pytest.mark.parametrize("name", [NASTY, LONG])
def test_site_runs_and_is_backed_up_and_restored_in_a_directory_with_special_characters(
    short_folder: Path, prepared_folder: Path, name: str
) -> None:
    data = short_folder / name
    shutil.copytree(prepared_folder, data)
    with Supervised(data, TRAINER="0") as site:
        site.wait_until_it_answers()
        assert site.draw_a_three().json()["prediction"]["digit"] == 3
        archive = short_folder / f"{name[:60]}.tar"
        assert "1 images" in manage("backup", archive, data=data)
        assert "ok  Redis" in manage("status", data=data, check=False)
        site.stop()
    restored = short_folder / f"{name[:60]} 2"
    assert "was verified and restored" in manage("restore", archive, data=restored)
    assert "1 submissions, 1 images" in manage("sanity", data=restored)
    assert {path.name for path in short_folder.iterdir()} == {name, archive.name, restored.name}


def manage(*command: str | Path, data: Path, check: bool = True) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=BASE_DIR, env=environment | {"DATA_DIR": str(data)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout
