"""Does it answer? Asked over bare sockets, so that the supervisor needs no HTTP and no Redis library."""

import json
import socket
from pathlib import Path

from digitsite import env

from .options import ANY_ADDRESS, Options

SECONDS = 1.0
MAX_RESPONSE_BYTES = 1_000_000


def redis_answers(path: Path) -> bool:
    """PING; a Valkey that still reads its file says LOADING instead of PONG."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


class Probe:
    """Asked until the front page can be read and a prediction worker is there; `missing` says what is not."""

    def __init__(self, options: Options) -> None:
        self._address = ("127.0.0.1" if options.host in ANY_ADDRESS else options.host, options.port)
        self.missing = "no web server"
        self._host = (env.words("ALLOWED_HOSTS") or ["localhost"])[0].lstrip(".")

    def __call__(self) -> bool:
        status, body = self._get("/readyz")
        if status != 200:
            self.missing = (
                f"/readyz says {status}: {body.decode(errors='replace')[:200]}" if status else "no web server"
            )
        elif not json.loads(body)["worker"]:
            self.missing = "no prediction worker"
        elif not 200 <= (status := self._get("/")[0]) < 400:  # with HTTPS=1 it sends us to https, which is not ours
            self.missing = f"the front page answers with {status}"
        else:
            self.missing = ""
        return not self.missing

    def stuck(self) -> list[str]:
        """Queues that nobody serves while work waits; none if the site cannot tell."""
        try:
            return json.loads(self._get("/readyz")[1])["stuck"]
        except (ValueError, KeyError):
            return []

    def _get(self, path: str) -> tuple[int, bytes]:
        """The answer's status, 0 for none, and its body."""
        request = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n\r\n"
        answer = b""
        try:
            with socket.create_connection(self._address, timeout=SECONDS) as connection:
                connection.sendall(request.encode())
                while len(answer) < MAX_RESPONSE_BYTES and (data := connection.recv(65_536)):
                    answer += data
        except OSError:
            return 0, b""
        head, _, body = answer.partition(b"\r\n\r\n")
        status = head[9:12]  # after HTTP/1.1 and a blank
        return (int(status) if status.isdigit() else 0), body
