"""Calls of the WSGI application in the process of the test, as the web server makes them."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections


@dataclass(frozen=True)
class Answer:
    """A response of the application."""

    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> dict:
        return json.loads(self.content)


@pytest.fixture
def application_in_transaction() -> Iterator[None]:
    """Keep the test's database connection open during requests, as Django's test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def send(path: str, body: bytes = b"", content_type: str = "application/json", **more: str) -> Answer:
    """Send a POST request; `more` is added to the environ."""
    from digitsite.wsgi import application

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
    } | more
    started = []
    response = application(environ, lambda status, headers: started.append((status, dict(headers))))
    content = b"".join(response)
    response.close()
    [(status, headers)] = started
    return Answer(int(status[:3]), headers, content)


def form(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, str]:
    """Return a multipart form of (name, file name or None, content), and its content type."""
    lines = []
    for name, file_name, content in parts:
        file = "" if file_name is None else f'; filename="{file_name}"'
        lines += [b"--=", f'Content-Disposition: form-data; name="{name}"{file}'.encode(), b"", content]
    return b"\r\n".join([*lines, b"--=--", b""]), 'multipart/form-data; boundary="="'
