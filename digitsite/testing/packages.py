"""Installation of programs for tests as Debian packages, for root on Debian and its derivatives."""

import os
import shutil
import subprocess

SECONDS = 600


class GetError(RuntimeError):
    """A program is missing and could not be installed."""


def install(package: str) -> None:
    """Install a package of Debian or Ubuntu.

    Raises:
        GetError: If this is another system, the account is not root, or apt-get failed.
    """
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise GetError(f"no root on Debian or Ubuntu, so the package {package} was not tried")
    print(f"installing the package {package}", flush=True)
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package])


def run(command: list[str]) -> None:
    """Run a command without output.

    Raises:
        GetError: If it fails; the message has the end of its output.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        process = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GetError(f"`{' '.join(command)}`: {error}") from error
    if process.returncode:
        raise GetError(f"`{' '.join(command)}`: {(process.stderr or process.stdout).strip()[-300:]}")
