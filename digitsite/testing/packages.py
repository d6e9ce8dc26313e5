"""Programs that tests run and no wheel brings: found, or for root on Debian or its kin installed as a package."""

import os
import shutil
import subprocess

SECONDS = 600


class GetError(RuntimeError):
    """A program is not here and could not be had; the message says why."""


def install(package: str) -> None:
    """Install a package of Debian or Ubuntu.

    Raises:
        GetError: this is no such system, the account is not root, or apt-get failed.
    """
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise GetError(f"no root on Debian or Ubuntu, so the package {package} was not tried")
    print(f"installing the package {package}", flush=True)
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package])


def run(command: list[str]) -> None:
    """Run it quietly.

    Raises:
        GetError: it failed; the message holds the end of what it said.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GetError(f"`{' '.join(command)}`: {error}") from error
    if done.returncode:
        raise GetError(f"`{' '.join(command)}`: {(done.stderr or done.stdout).strip()[-300:]}")
