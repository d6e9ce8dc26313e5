"""Options of the supervisor and its messages about invalid ones."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from digitsite.supervisor import commands, options, startup_cache
from digitsite.supervisor.options import StartError
from digitsite.testing.site import BASE_DIR
from digitsite.testing.supervised import SETTINGS


@pytest.fixture(autouse=True)
def no_options_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PORT", "0")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def output_of_refused_start(**settings: str) -> str:
    """The output of a supervisor that must not start."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS} | settings
    done = subprocess.run(
        [sys.executable, "-m", "digitsite.supervisor"],
        cwd=BASE_DIR, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_site_listens_on_loopback_by_default() -> None:
    parsed = options.read()
    assert parsed.data_dir == Path(BASE_DIR, "data")
    assert parsed.url == f"http://127.0.0.1:{parsed.port}/"
    assert parsed.network_urls == []
    assert parsed.allowed_hosts() == "localhost,127.0.0.1,[::1]"


def test_open_site_allows_all_names_of_this_machine_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setattr(options, "own_addresses", lambda: ["192.168.7.5", "10.0.0.2"])
    monkeypatch.setattr(socket, "gethostname", lambda: "Laptop")
    parsed = options.read()
    assert parsed.url.startswith("http://127.0.0.1:")
    assert parsed.network_urls == [f"http://192.168.7.5:{parsed.port}/", f"http://10.0.0.2:{parsed.port}/"]
    assert parsed.allowed_hosts() == "localhost,127.0.0.1,[::1],192.168.7.5,10.0.0.2,laptop,laptop.local"


def test_public_host_name_is_allowed_only_with_an_explicit_https_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setattr(options, "own_addresses", lambda: ["203.0.113.5"])
    monkeypatch.setattr(socket, "gethostname", lambda: "vps.example.com")
    monkeypatch.delenv("HTTPS", raising=False)
    assert options.read().allowed_hosts() == "localhost,127.0.0.1,[::1],203.0.113.5"
    monkeypatch.setenv("HTTPS", "1")
    assert options.read().allowed_hosts() == "localhost,127.0.0.1,[::1],203.0.113.5,vps.example.com"


def test_public_addresses_are_listed_without_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "own_addresses", lambda: ["192.168.7.5", "8.8.4.4"])
    assert options.read().public_addresses == []
    monkeypatch.setenv("HOST", "0.0.0.0")
    assert options.read().public_addresses == ["8.8.4.4"]
    monkeypatch.setenv("HTTPS", "1")
    assert options.read().public_addresses == []


def test_own_addresses_can_be_bound() -> None:
    for address in options.own_addresses():
        with socket.socket() as listener:
            listener.bind((address, 0))


def test_environment_variables_are_passed_to_all_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "digits.example.com")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "here" / ".." / "there"))
    parsed = commands.environment(options.read())
    assert parsed["ALLOWED_HOSTS"] == "digits.example.com"
    assert parsed["DATA_DIR"] == str(tmp_path / "there")


def test_redis_url_disables_the_embedded_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://localhost:6379")
    assert not options.read().with_redis


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "http", "PORT is 'http'; write a number."),
        ("PORT", "70000", "PORT is 70000; it must lie between 0 and 65535."),
        ("HOST", "nowhere.invalid", "HOST is 'nowhere.invalid'; write an address of this machine, or 0.0.0.0."),
        ("HOST", "192.0.2.1", "HOST is '192.0.2.1'; write an address of this machine, or 0.0.0.0."),
        ("TRAINER", "maybe", "TRAINER is 'maybe'; write 1 or 0."),
    ],
)
def test_invalid_option_is_rejected(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured) as refusal:
        options.read()
    assert str(refusal.value) == message


def test_port_in_use_is_rejected(monkeypatch: pytest.MonkeyPatch, taken_port: int) -> None:
    monkeypatch.setenv("PORT", str(taken_port))
    with pytest.raises(StartError, match=f"Port {taken_port} is taken"):
        options.read()


def test_invalid_setting_of_a_child_process_is_reported_without_a_traceback(tmp_path: Path) -> None:
    output = output_of_refused_start(PORT="0", DATA_DIR=str(tmp_path), PREDICTION_BATCH="many")
    assert output == "PREDICTION_BATCH is 'many'; write a number.\n"


def test_unusable_data_directory_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    output = output_of_refused_start(PORT="0", DATA_DIR=str(tmp_path / "file"))
    assert output == f"The data folder {tmp_path / 'file'} cannot be written (File exists).\n"


def test_startup_cache_is_stale_before_the_first_preparation_and_after_a_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "code" / "app" / "static" / "app.js"
    source.parent.mkdir(parents=True)
    source.write_text("one")
    monkeypatch.setattr(startup_cache, "BASE_DIR", tmp_path / "code")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    parsed = options.read()
    (parsed.data_dir / "static").mkdir(parents=True)
    (parsed.data_dir / "db.sqlite3").touch()

    assert not startup_cache.is_current(parsed)
    startup_cache.remember(parsed)
    assert startup_cache.is_current(parsed)
    source.write_text("two, longer")
    assert not startup_cache.is_current(parsed)
    startup_cache.remember(parsed)
    (parsed.data_dir / "db.sqlite3").unlink()
    assert not startup_cache.is_current(parsed)
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere/digits")
    assert not startup_cache.is_current(parsed)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("localhost", "127.0.0.1"),
        ("LOCALHOST", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("[::1]", "::1"),
        ("::", "::"),
    ],
)
def test_host_is_resolved_to_a_numeric_address(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> None:
    monkeypatch.setenv("HOST", name)
    parsed = options.read()
    assert parsed.host == address
    assert name in parsed.allowed_hosts().split(",") or parsed.is_open_to_the_network or name != name.lower()
    command = commands.web(parsed)
    assert command[command.index("--host") + 1] == address


@pytest.mark.parametrize("name", ["127.0.0.1:8000", "http://localhost", "fe80::1%lo", "a..b", "x" * 300, "[", "a b"])
def test_host_that_cannot_be_bound_is_rejected(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("HOST", name)
    with pytest.raises(ImproperlyConfigured, match="write an address of this machine"):
        options.read()


def test_open_files_limit_is_raised_to_the_hard_limit() -> None:
    code = (
        "import resource; from digitsite import open_files;"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, min(hard, 5000)));"
        "print(open_files.raise_open_files(), resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "5000 (5000, 5000)"
