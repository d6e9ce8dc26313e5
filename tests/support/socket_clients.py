"""Slow, idle and misbehaving HTTP clients on raw sockets, because HTTP libraries cannot behave like this."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from urllib.parse import urlsplit

# Source addresses of test clients; the site itself listens on 127.0.0.1.
ATTACKERS = [f"127.0.0.{number}" for number in range(2, 10)]
# For proxies with a test certificate.
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname, UNVERIFIED.verify_mode = False, ssl.CERT_NONE


def connect(
    port: int, *, source: str = "127.0.0.1", seconds: float = 10, receive_buffer: int | None = None
) -> socket.socket:
    connection = socket.socket()
    connection.settimeout(seconds)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", port))
    return connection


def head(method: str, path: str, *headers: str, version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join((f"{method} {path} {version}", "Host: localhost", *headers, "", "")).encode()


def read_all(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65_536):
            received += data
    return received


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


class SlowBodies:
    """Connections that each send the request headers and then one byte every two seconds.

    Args:
        url: URL of the site or of a proxy.
        count: Number of connections.
        headers: Headers of each request: `Content-Length: 1000`, or `Transfer-Encoding: chunked`.
        path: Path of each request.
        persistent: Reconnect when the server closes a connection.
    """

    INTERVAL_SECONDS = 2.0

    def __init__(
        self, url: str, count: int, headers: Sequence[str], *, path: str = "/", persistent: bool = False
    ) -> None:
        is_chunked = any("chunked" in header for header in headers)
        self._byte = b"1\r\na\r\n" if is_chunked else b"a"
        self._request = head("POST", path, "Content-Type: text/plain", *headers)
        self._url = urlsplit(url)
        self._persistent = persistent
        self._connections = [self._begin(number) for number in range(count)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> "SlowBodies":
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for connection in self._connections:
            if connection is not None:
                connection.close()

    def answers(self) -> list[bytes]:
        """Return the response to each request."""
        return [read_all(connection) for connection in self._connections]

    def _begin(self, number: int) -> socket.socket | None:
        """Open a connection and send the headers; return None if the server refuses it."""
        try:
            connection = connect(self._url.port, source=ATTACKERS[number % len(ATTACKERS)])
            if self._url.scheme == "https":
                connection = UNVERIFIED.wrap_socket(connection)
            connection.sendall(self._request)
        except OSError:
            if not self._persistent:
                raise
            return None
        return connection

    def _send(self) -> None:
        while not self._stop.wait(self.INTERVAL_SECONDS):
            for number, connection in enumerate(self._connections):
                try:
                    if connection is not None:
                        connection.sendall(self._byte)
                        continue
                except OSError:  # the server has closed it
                    connection.close()
                if self._persistent:
                    self._connections[number] = self._begin(number)


def silent_connections(port: int, count: int) -> list[socket.socket]:
    """Open connections that never send anything."""
    return [connect(port, source=ATTACKERS[number % len(ATTACKERS)]) for number in range(count)]


@contextlib.contextmanager
def slow_readers(port: int, count: int, path: str, *headers: str) -> Iterator[list[socket.socket]]:
    """Open connections that request `path` and read one kilobyte per second."""
    request = head("GET", path, *headers)
    readers = [connect(port, source=ATTACKERS[number % len(ATTACKERS)], receive_buffer=4096) for number in range(count)]
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(1):
            for reader in readers:
                with contextlib.suppress(OSError):
                    reader.recv(1024)

    for reader in readers:
        reader.sendall(request)
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    yield readers
    stop.set()
    thread.join()
    for reader in readers:
        reader.close()


def seconds_to_answer(port: int, path: str, *, seconds: float = 10) -> float:
    """Return the time for a request on a new connection, including connecting."""
    began = time.monotonic()
    with connect(port, seconds=seconds) as connection:
        connection.sendall(head("GET", path, "Connection: close"))
        answer = read_all(connection)
    assert status_of(answer) == 200, answer[:300]
    return time.monotonic() - began
