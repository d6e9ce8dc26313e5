"""WSGI environ of a request."""

from digitsite.server.environ import build_environ


def environ_of(*headers: tuple[bytes, bytes], **scope: object) -> dict:
    default = {
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "client": ("192.0.2.1", 1234),
        "server": ("192.0.2.2", 8000),
    }
    return build_environ(default | scope | {"headers": list(headers)})


def test_header_names_with_underscores_are_dropped() -> None:
    environ = environ_of((b"x_forwarded_for", b"203.0.113.9"), (b"x-forwarded-for", b"192.0.2.7"), (b"x_real-ip", b"1"))
    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.7"
    assert "HTTP_X_REAL_IP" not in environ


def test_repeated_headers_are_joined_in_order() -> None:
    environ = environ_of(
        *(
            (b"x-forwarded-for", b"192.0.2.7"),
            (b"cookie", b"a=1"),
            (b"x-forwarded-for", b"192.0.2.8"),
            (b"cookie", b"b=2"),
        )
    )
    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.7, 192.0.2.8"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_non_ascii_bytes_are_decoded_as_latin_1() -> None:
    environ = environ_of((b"x-forwarded-for", b"\xff, 192.0.2.7"), (b"user-agent", "Käfer".encode()))
    assert environ["HTTP_X_FORWARDED_FOR"] == "\xff, 192.0.2.7"
    assert environ["HTTP_USER_AGENT"].encode("latin-1").decode() == "Käfer"


def test_content_headers_have_no_prefix_and_transfer_encoding_is_removed() -> None:
    environ = environ_of((b"content-type", b"image/png"), (b"content-length", b"7"), (b"transfer-encoding", b"chunked"))
    assert environ["CONTENT_TYPE"] == "image/png"
    assert not {"HTTP_CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"} & environ.keys()


def test_path_is_utf_8_encoded_as_latin_1() -> None:
    assert environ_of(path="/für/")["PATH_INFO"].encode("latin-1").decode() == "/für/"


def test_a_unix_socket_has_no_address() -> None:
    assert environ_of(client=None, server=None)["REMOTE_ADDR"] == ""
