"""Find or install a Chromium for the browser tests: `python -m digitsite.testing.chromium` prints its path.

Tried in this order: the file that `CHROMIUM` names, an installed browser, Playwright's own (downloaded if necessary),
and for root on Debian and its derivatives the package `chromium`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from digitsite.testing.packages import GetError, install, run

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
# The browser contacts only the site under test. Chromium has no sandbox for root.
ARGUMENTS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", *(["--no-sandbox"] if os.geteuid() == 0 else []),
]  # fmt: skip


class NoChromiumError(RuntimeError):
    """No Chromium was found or could be installed; the message lists what was tried."""


@cache
def find() -> str | None:
    """Return the path of an installed Chromium that starts, or None.

    Raises:
        NoChromiumError: If `CHROMIUM` is set to a program that does not start.
    """
    named = os.environ.get("CHROMIUM")
    if named:
        if not _starts(named):
            raise NoChromiumError(f"CHROMIUM={named} does not start.")
        return named
    return next((path for path in _candidates() if path and _starts(path)), None)


def executable() -> str:
    """Return the path to launch.

    Raises:
        NoChromiumError: If none is installed; `make test` installs one.
    """
    path = find()
    if path is None:
        raise NoChromiumError("No Chromium is installed. `python -m digitsite.testing.chromium` installs one.")
    return path


def get() -> str:
    """Find a Chromium or install one, and return its path.

    Raises:
        NoChromiumError: If every way failed.
    """
    failures = []
    for method in (None, _download, lambda: install("chromium")):
        if method is not None:
            try:
                method()
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
    """Return whether the program runs: Ubuntu's chromium-browser may be a script that only asks for the snap."""
    try:
        process = subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return process.returncode == 0


def _download() -> None:
    print("no Chromium is installed; downloading Playwright's own", flush=True)
    run([sys.executable, "-m", "playwright", "install", "chromium"])


if __name__ == "__main__":
    try:
        print(f"browser tests run in {get()}")
    except NoChromiumError as error:
        sys.exit(str(error))
