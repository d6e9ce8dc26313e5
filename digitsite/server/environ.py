"""Translate an ASGI scope into a WSGI environ (PEP 3333)."""

import sys
from collections.abc import Iterator, MutableMapping
from functools import lru_cache
from typing import IO, Any

from .body import Body

Scope = MutableMapping[str, Any]
Environ = dict[str, Any]

# Headers without the prefix HTTP_ in CGI. Length and transfer coding are set for the received body instead.
CONTENT_HEADERS = {b"content-type": "CONTENT_TYPE"}
DROPPED_HEADERS = {b"content-length", b"transfer-encoding"}
PROTOCOLS = {"1": "HTTP/1.0", "1.0": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2"}
MAX_CACHED_NAMES = 200


class FileBody:
    """`wsgi.file_wrapper`: a response body that is read from a file and can be sent without a thread.

    Args:
        file: An open file or file-like object.
        block_size: Bytes per chunk if the body is iterated.
    """

    def __init__(self, file: IO[bytes], block_size: int = 8192) -> None:
        self.file = file
        self._block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.file.read(self._block_size):
            yield chunk

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def build_environ(scope: Scope) -> Environ:
    """Return the environ of a request, without its body (see `add_body`).

    Header names with underscores are dropped: WSGI cannot distinguish `X_Forwarded_For` from `X-Forwarded-For`, and
    proxies overwrite only the latter. Repeated headers are joined with commas (RFC 9110, section 5.3), cookies with
    semicolons (RFC 6265, section 4.2.1).
    """
    client, server = scope.get("client"), scope.get("server")
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": PROTOCOLS.get(scope["http_version"], "HTTP/1.1"),
        "SERVER_NAME": server[0] if server else "localhost",
        "SERVER_PORT": str(server[1]) if server else "80",
        "REMOTE_ADDR": client[0] if client else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileBody,
    }
    for name, value in scope["headers"]:
        if name in DROPPED_HEADERS or b"_" in name:
            continue
        key = _name(name)
        text = value.decode("latin-1")
        if key in environ:
            environ[key] += f"{'; ' if key == 'HTTP_COOKIE' else ', '}{text}"
        else:
            environ[key] = text
    return environ


def add_body(environ: Environ, body: Body) -> None:
    """Add a completely received or empty body to the environ."""
    environ["wsgi.input"] = body.stream
    environ["CONTENT_LENGTH"] = str(body.size)


@lru_cache(MAX_CACHED_NAMES)
def _name(header: bytes) -> str:
    return CONTENT_HEADERS.get(header) or "HTTP_" + header.decode("latin-1").upper().replace("-", "_")
