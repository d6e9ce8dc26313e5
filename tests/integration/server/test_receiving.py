"""The web server with slow, idle and unusual clients."""

import json
import time
from collections.abc import Callable

import pytest
from django.conf import settings

from digitsite.testing.site import Site, wait_until
from tests.image_samples import SEVEN
from tests.support.socket_clients import (
    SlowBodies,
    connect,
    head,
    read_all,
    seconds_to_answer,
    silent_connections,
    slow_readers,
    status_of,
)

DRAWING = json.dumps({"strokes": SEVEN}).encode()
FORMS = {"with a length": ["Content-Length: 1000"], "in chunks": ["Transfer-Encoding: chunked"]}
# Longer than any test, so that slow bodies never time out.
PATIENT = {"BODY_TIMEOUT_SECONDS": "600"}


@pytest.fixture
def start(make_site: Callable[..., Site]) -> Callable[..., Site]:
    """Factory for sites with only a web server; pages need no Redis."""

    def start(**settings: str) -> Site:
        site = make_site(**settings)
        site.collect_static_files()
        site.start_web()
        return site

    return start


@pytest.fixture
def port(start: Callable[..., Site]) -> int:
    return start().port


def local(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def ask(port: int, request: bytes) -> bytes:
    with connect(port) as connection:
        connection.sendall(request)
        return read_all(connection)


# --- Slow clients ----------------------------------------------------------------------------------------------------


def test_two_hundred_slow_bodies_occupy_no_thread(start: Callable[..., Site]) -> None:
    port = start(**PATIENT).port
    with (
        SlowBodies(local(port), 70, FORMS["with a length"], path="/"),
        SlowBodies(local(port), 70, FORMS["in chunks"], path="/api/v1/submissions"),
        SlowBodies(local(port), 60, FORMS["in chunks"], path="/nothing/"),
    ):
        for address in ("/healthz", "/", "/healthz"):
            assert seconds_to_answer(port, address) < 5, address


def test_slow_body_times_out_with_a_response(start: Callable[..., Site]) -> None:
    port = start(BODY_TIMEOUT_SECONDS="1").port
    for headers in FORMS.values():
        with SlowBodies(local(port), 2, headers, path="/api/v1/submissions") as bodies:
            for answer in bodies.answers():
                assert status_of(answer) == 408
                assert b'"code": "body_timeout"' in answer
                assert b"retry-after: 1\r\n" in answer
    with SlowBodies(local(port), 1, FORMS["in chunks"], path="/upload/") as bodies:
        [answer] = bodies.answers()
    assert status_of(answer) == 408
    assert b"<h1>That took too long</h1>" in answer


def test_client_that_disconnects_during_a_body_leaves_no_log_entry(start: Callable[..., Site]) -> None:
    site = start()
    for _ in range(5):
        with connect(site.port) as connection:
            connection.sendall(head("POST", "/api/v1/submissions", "Content-Length: 2000000") + bytes(1_000_000))
    assert seconds_to_answer(site.port, "/healthz") < 5
    web = site.parts[-1]
    assert "Traceback" not in web.output
    assert "view=api-submissions" not in web.output


def test_seventy_slow_readers_occupy_no_thread(start: Callable[..., Site]) -> None:
    site = start()
    path = "/static/recognizer/large.bin"
    large = site.folder / "static/recognizer/large.bin"
    large.write_bytes(bytes(20_000_000))
    site.parts[-1].terminate()
    site.start_web()  # the list of static files is read at the start
    with slow_readers(site.port, 70, path) as readers:
        wait_until(lambda: all(reader.recv(1) for reader in readers), event="the first byte of each")
        before = site.parts[-1].rss()
        for address in ("/healthz", "/", "/healthz"):
            assert seconds_to_answer(site.port, address) < 5, address
        assert site.parts[-1].rss() - before < 60_000_000
    assert ask(site.port, head("GET", path, "Connection: close")).endswith(bytes(1_000_000))


def test_two_thousand_idle_connections_block_no_client(port: int) -> None:
    silent = silent_connections(port, 2000)
    assert seconds_to_answer(port, "/healthz") < 5
    began = time.monotonic()
    for connection in silent:
        assert connection.recv(1) == b""
    assert time.monotonic() - began < 8, "silent connections are closed after five seconds"
    for connection in silent:
        connection.close()


# --- HTTP semantics --------------------------------------------------------------------------------------------------


def test_too_large_body_is_rejected_before_it_is_sent(port: int) -> None:
    for path, limit in (("/api/v1/preview", 20), ("/upload/", 200)):
        with connect(port) as connection:
            length = f"Content-Length: {limit * 1024 * 1024}"
            connection.sendall(head("POST", path, length, "Expect: 100-continue", "Content-Type: image/png"))
            answer = read_all(connection)
        assert status_of(answer) == 413, path
        assert b"connection: close\r\n" in answer


def test_expect_100_continue_is_answered(port: int) -> None:
    with connect(port) as connection:
        length = f"Content-Length: {len(DRAWING)}"
        json_body = "Content-Type: application/json"
        connection.sendall(
            head("POST", "/api/v1/submissions", length, json_body, "Expect: 100-continue", "Connection: close")
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(DRAWING)
        assert status_of(read_all(connection)) == 202


def test_chunked_body_is_read(port: int) -> None:
    chunks = b"".join(b"%x\r\n%c\r\n" % (1, byte) for byte in DRAWING) + b"0\r\n\r\n"
    kinds = ("Transfer-Encoding: chunked", "Content-Type: application/json", "Connection: close")
    assert status_of(ask(port, head("POST", "/api/v1/submissions", *kinds) + chunks)) == 202
    too_large = settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1
    answer = ask(port, head("POST", "/api/v1/submissions", *kinds) + b"%x\r\n" % too_large + bytes(too_large))
    assert status_of(answer) == 413
    assert b'"code": "body_too_large"' in answer


def test_head_returns_the_headers_of_get_without_a_body(port: int) -> None:
    answers = [ask(port, head(method, "/history/", "Connection: close")) for method in ("GET", "HEAD")]
    (page_head, _, page), (bare_head, _, nothing) = (answer.partition(b"\r\n\r\n") for answer in answers)
    assert page
    assert not nothing
    lengths = [line for head in (page_head, bare_head) for line in head.split(b"\r\n") if b"content-length" in line]
    assert lengths == [b"content-length: %d" % len(page)] * 2


def test_connections_are_kept_alive_except_with_http_1_0(port: int) -> None:
    with connect(port) as connection:
        for _ in range(3):
            connection.sendall(head("GET", "/healthz"))
            assert status_of(connection.recv(10_000)) == 200
    answer = ask(port, head("GET", "/healthz", version="HTTP/1.0"))  # returns when the server closes
    assert status_of(answer) == 200


def test_small_and_large_static_files_are_sent_completely(start: Callable[..., Site]) -> None:
    site = start()
    files = sorted((site.folder / "static/recognizer").rglob("*.*.css"), key=lambda file: file.stat().st_size)
    for file in (files[0], files[-1]):
        path = f"/static/{file.relative_to(site.folder / 'static')}"
        _, _, content = ask(site.port, head("GET", path, "Connection: close")).partition(b"\r\n\r\n")
        assert content == file.read_bytes()
