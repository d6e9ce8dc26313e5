"""The virtual environment that `make` creates is complete or absent, even after interrupted attempts."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from digitsite.testing.site import BASE_DIR, wait_until

STAMP = ".venv/site.stamp"
# Variables of the test run that an ordinary shell does not have.
NOT_FRESH = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
# Debian's Python without the package python3-venv: it creates an incomplete directory and fails.
DEBIAN = f"""#!/bin/sh
case "$*" in
  *ensurepip*) echo asked >"$0.asked"; exit 1 ;;
  "-m venv"*) "{sys.executable}" -m venv --without-pip "$3"; echo 'ensurepip is not available' >&2; exit 1 ;;
  *) exec "{sys.executable}" "$@" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that `make` needs, without requirements, in a directory with special characters in its name."""
    folder = tmp_path / "a b#$c%'d"
    (folder / "deploy" / "locks").mkdir(parents=True)
    for name in ("Makefile", "deploy/environment.sh"):
        if (BASE_DIR / name).exists():
            shutil.copy(BASE_DIR / name, folder / name)
    for name in ("site.txt", "dev.txt"):
        (folder / "deploy" / "locks" / name).write_text("# nothing\n")
    return folder


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NOT_FRESH}


def make(checkout: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments, f"PYTHON={python}"],
        cwd=checkout, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def works(checkout: Path) -> bool:
    done = subprocess.run(
        [".venv/bin/python", "-m", "pip", "--version"], cwd=checkout, capture_output=True, check=False
    )
    return done.returncode == 0 and (checkout / STAMP).exists()


def test_python_without_venv_is_rejected_with_the_name_of_the_missing_package(checkout: Path) -> None:
    debian = checkout / "python"
    debian.write_text(DEBIAN)
    debian.chmod(0o755)
    result = make(checkout, STAMP, python=str(debian))
    assert result.returncode != 0
    assert "sudo apt-get install python3-venv" in result.stderr
    assert "ensurepip is not available" not in result.stderr  # no environment was attempted
    assert debian.with_name("python.asked").exists()
    assert not (checkout / ".venv").exists()
    result = make(checkout, STAMP)
    assert result.returncode == 0, result.stderr
    assert works(checkout)


@pytest.mark.acceptance
def test_incomplete_environment_is_created_again(checkout: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    result = make(checkout, STAMP)
    assert result.returncode == 0, result.stderr
    assert works(checkout)


@pytest.mark.acceptance
def test_interrupted_installation_is_repeated_from_scratch(checkout: Path) -> None:
    assert make(checkout, STAMP).returncode == 0
    (checkout / ".venv" / "of the first").touch()
    requirements = checkout / "deploy/locks/site.txt"
    requirements.unlink()
    os.mkfifo(requirements)  # pip starts to read it and never reaches its end
    process = subprocess.Popen(
        ["make", STAMP, f"PYTHON={sys.executable}"], cwd=checkout, env=environment(), start_new_session=True
    )
    try:
        with requirements.open("w"):
            wait_until(lambda: not (checkout / STAMP).exists(), event="the beginning of the installation")
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(30) != 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
    assert not (checkout / STAMP).exists()
    requirements.unlink()
    requirements.write_text("# nothing\n")
    assert make(checkout, STAMP).returncode == 0
    assert works(checkout)
    assert not (checkout / ".venv" / "of the first").exists()


@pytest.mark.acceptance
def test_failed_pip_install_leaves_the_environment_unchanged(checkout: Path) -> None:
    assert make(checkout, STAMP).returncode == 0
    (checkout / ".venv" / "of the first").touch()
    (checkout / "deploy/locks/site.txt").write_text("./nowhere\n")
    assert make(checkout, STAMP).returncode != 0
    (checkout / "deploy/locks/site.txt").write_text("# nothing\n")
    assert make(checkout, STAMP).returncode == 0
    assert (checkout / ".venv" / "of the first").exists()


def test_checkout_path_with_a_colon_is_rejected_in_one_line(checkout: Path) -> None:
    checkout = checkout.rename(checkout.with_name("a:b"))
    result = make(checkout, STAMP)
    assert result.returncode != 0
    assert "a colon in its name" in result.stderr
    assert not (checkout / ".venv").exists()


def test_settings_on_the_make_command_line_are_passed_unchanged(checkout: Path) -> None:
    makefile = (checkout / "Makefile").read_text()
    (checkout / "Makefile").write_text(makefile + "\nshow:\n\t@printenv DATA_DIR SECRET_KEY\n")
    values = ["/srv/a$b$$c${HOME}$(shell id)#d %25\\n'\"e`f`;g", "$PORT"]
    output = make(
        checkout, "show", *(f"{name}={value}" for name, value in zip(("DATA_DIR", "SECRET_KEY"), values, strict=True))
    )
    assert output.stdout.splitlines() == values
