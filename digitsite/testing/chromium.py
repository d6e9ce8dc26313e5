"""Finds a Chromium for the browser tests, or gets one: `python -m digitsite.testing.chromium` says which it is.

In this order: the file that `CHROMIUM` names, one that is installed, Playwright's own (downloaded if need be), and for
root on Debian or its kin the package `chromium`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from digitsite.testing.packages import GetError, install, run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
# Nothing but the site under test is spoken to; a root's browser has no sandbox.
ARGUMENTS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", *(["--no-sandbox"] if os.geteuid() == 0 else []),
]  # fmt: skip


class NoChromiumError(RuntimeError):
    """There is no Chromium, and none could be had; the message says what was tried."""


@cache
def find() -> str | None:
    """The path of a Chromium that is here and starts, or None."""
    named = os.environ.get("CHROMIUM")
    if named:
        if not _starts(named):
            raise NoChromiumError(f"CHROMIUM={named} does not start.")
        return named
    return next((path for path in _candidates() if path and _starts(path)), None)


def executable() -> str:
    """The path to launch.

    Raises:
        NoChromiumError: run `make test`, which gets one.
    """
    path = find()
    if path is None:
        raise NoChromiumError("There is no Chromium here. `python -m digitsite.testing.chromium` gets one.")
    return path


def get() -> str:
    """Find a Chromium or install one, and return its path.

    Raises:
        NoChromiumError: every way failed; the message tells how.
    """
    failures = []
    for how in (None, _download, lambda: install("chromium")):
        if how is not None:
            try:
                how()
            except GetError as error:
                failures.append(str(error))
                continue
            find.cache_clear()
        path = find()
        if path:
            return path
    raise NoChromiumError(
        "The browser tests need a Chromium. Install one, or set CHROMIUM to its path. Tried: " + "; ".join(failures)
    )


def _candidates() -> Iterator[str | None]:
    yield from map(shutil.which, NAMES)
    yield from filter(os.path.exists, MAC_APPLICATIONS)
    yield _playwrights_own()


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def _starts(path: str) -> bool:
    """Ubuntu's chromium-browser, for one, may be a script that only asks for the snap."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _download() -> None:
    print("no Chromium is installed; downloading Playwright's own", flush=True)
    run([sys.executable, "-m", "playwright", "install", "chromium"])


if __name__ == "__main__":
    try:
        print(f"browser tests run in {get()}")
    except NoChromiumError as error:
        sys.exit(str(error))
