"""Readiness probes over raw sockets, which keep the supervisor free of an HTTP and a Redis library."""

import json
import socket
from pathlib import Path

from digitsite import env

from .options import ANY_ADDRESS, Options

TIMEOUT_SECONDS = 1.0
MAX_RESPONSE_BYTES = 1_000_000


def redis_answers(path: Path) -> bool:
    """Return whether Redis answers PING with PONG. While it loads its file, it answers LOADING."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


class Probe:
    """Checks that the front page is served and a prediction worker is running.

    Attributes:
        missing: What was missing at the last check; empty if the site is ready.
    """

    def __init__(self, options: Options) -> None:
        self._address = ("127.0.0.1" if options.host in ANY_ADDRESS else options.host, options.port)
        self.missing = "no web server"
        self._host = (env.read("ALLOWED_HOSTS") or ["localhost"])[0].lstrip(".")

    def __call__(self) -> bool:
        """Return whether the site is ready."""
        status, body = self._get("/readyz")
        if status != 200:
            self.missing = (
                f"/readyz says {status}: {body.decode(errors='replace')[:200]}" if status else "no web server"
            )
        elif not json.loads(body)["worker"]:
            self.missing = "no prediction worker"
        elif not 200 <= (status := self._get("/")[0]) < 400:  # with HTTPS=1 the response is a redirect
            self.missing = f"the front page answers with {status}"
        else:
            self.missing = ""
        return not self.missing

    def stalled_queues(self) -> list[str]:
        """Return the queues with pending work and no responsive worker; empty if the site does not answer."""
        try:
            return [str(queue) for queue in json.loads(self._get("/readyz")[1])["stuck"]]
        except (ValueError, KeyError):
            return []

    def _get(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of a response; the status is 0 if there is no response."""
        request = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n\r\n"
        response = b""
        try:
            with socket.create_connection(self._address, timeout=TIMEOUT_SECONDS) as connection:
                connection.sendall(request.encode())
                while len(response) < MAX_RESPONSE_BYTES and (data := connection.recv(65_536)):
                    response += data
        except OSError:
            return 0, b""
        head, _, body = response.partition(b"\r\n\r\n")
        status = head[9:12]  # follows "HTTP/1.1 "
        return (int(status) if status.isdigit() else 0), body
