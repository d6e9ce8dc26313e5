"""Start the web server: `python -m digitsite.server --host 127.0.0.1 --port 8000`.

Raises the limit of open files, then replaces this process with granian, which starts WEB_PROCESSES processes and
restarts those that end. See docs/adr/0003-web-processes.md.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from digitsite import env
from digitsite.open_files import raise_open_files

# Connections that have not sent headers after this time are closed, including idle ones. A proxy must close its idle
# connections earlier.
HEADER_TIMEOUT_MILLISECONDS = 5000
# Connections that wait to be accepted; the kernel's limit (net.core.somaxconn) is 4096 on Linux.
BACKLOG = 4096
MAX_CONNECTIONS = 8192
# Buffer of a connection in each direction, in bytes; it also limits the size of the request headers.
BUFFER_SIZE = 64 * 1024
# Files that the process needs besides connections. Granian stops accepting permanently when descriptors run out.
OTHER_FILES = 256
# How long running requests may take after SIGTERM.
KILL_TIMEOUT_SECONDS = 2


def main() -> None:
    """Parse the arguments and execute granian."""
    parser = argparse.ArgumentParser(prog="python -m digitsite.server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--log-level", default="error")
    options = parser.parse_args()
    processes = env.read("WEB_PROCESSES")
    max_connections = max(128, min(MAX_CONNECTIONS, raise_open_files() - OTHER_FILES))
    command = [
        sys.executable, "-m", "granian", "--interface", "asginl", "digitsite.asgi:application",
        "--host", options.host, "--port", str(options.port),
        "--workers", str(processes), "--no-ws", "--http", "1", "--loop", "uvloop",
        "--backlog", str(BACKLOG), "--backpressure", str(max_connections),
        "--http1-header-read-timeout", str(HEADER_TIMEOUT_MILLISECONDS), "--http1-buffer-size", str(BUFFER_SIZE),
        "--workers-kill-timeout", str(KILL_TIMEOUT_SECONDS), "--log-level", options.log_level,
    ]  # fmt: skip
    if processes > 1:
        command.append("--respawn-failed-workers")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_create_metrics_folder(options.host, options.port))
    os.execv(command[0], command)  # noqa: S606 - no argument comes from a client


def metrics_folder(host: str, port: int) -> Path:
    """Return the folder in which the processes of a server share their counters, which /metrics adds up.

    Prometheus's client maps the files into memory, so the folder is in memory where possible: on a disk that is full,
    a write to such a file would end the process.
    """
    root = Path("/dev/shm")  # noqa: S108 - the folder is refused if it belongs to another account
    return (root if root.is_dir() else Path(tempfile.gettempdir())) / f"digits-metrics-{os.getuid()}-{host}-{port}"


def _create_metrics_folder(host: str, port: int) -> Path:
    folder = metrics_folder(host, port)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


if __name__ == "__main__":
    main()
