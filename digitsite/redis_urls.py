"""URLs of the Redis databases: Celery's broker and the prediction queue use different database numbers."""

import os
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit, urlunsplit

from django.core.exceptions import ImproperlyConfigured

BROKER, HANDOFF = 0, 1
# Options of a rediss:// URL, each the path of a PEM file.
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

# sockaddr_un holds 104 bytes on macOS and 108 on Linux, including the terminating zero.
MAX_SOCKET_PATH = 100


def embedded_socket(data_dir: Path) -> Path:
    """Return the unix socket of the embedded Valkey: in the data directory, or in /tmp if that path is too long."""
    path = data_dir.resolve() / "redis.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    import hashlib

    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    # Not TMPDIR, which is long on macOS and may differ between the site and a management command. The directory is
    # created with mode 700 and refused if it belongs to another account (supervisor/commands.py).
    return Path(f"/tmp/digitsite-{os.getuid()}-{digest}/redis.sock")  # noqa: S108


def unix_url(socket: Path) -> str:
    """Return the URL of a server that listens on a unix socket."""
    return f"unix://{quote(str(socket))}"


def _split(base: str) -> SplitResult:
    """Split and validate the URL of a server.

    Raises:
        ImproperlyConfigured: The URL is invalid. The message omits it because it may contain a password.
    """
    try:
        parts = urlsplit(base)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    names_server = parts.path.startswith("/") if parts.scheme == "unix" else parts.hostname
    if parts.scheme not in ("redis", "rediss", "unix") or not names_server:
        raise ImproperlyConfigured(
            "REDIS_URL is invalid; write redis://host:6379, rediss://:password@host:6379 or unix:///path/redis.sock."
        )
    if parts.scheme == "unix" and parts.hostname:
        raise ImproperlyConfigured("REDIS_URL names a path that is not absolute; write unix:///path/redis.sock.")
    if parts.fragment or (parts.query and parts.scheme != "rediss"):
        raise ImproperlyConfigured(
            "REDIS_URL holds # or ?; inside a path or password write %23 and %3F for them. Options are for rediss:// "
            "alone."
        )
    # Celery splits URLs at ";", and other parsers reject a bare "%".
    return parts._replace(path=quote(unquote(parts.path))) if parts.scheme == "unix" else parts


def database_url(base: str, number: int) -> str:
    """Return the URL of database `number` on the server `base`, in the format of redis-py.

    Raises:
        ImproperlyConfigured: The URL names a database number already.
    """
    parts = _split(base)
    if parts.scheme == "unix":
        return f"unix://{parts.netloc}{parts.path}?db={number}"
    if parts.path.strip("/"):
        raise ImproperlyConfigured(
            f"REDIS_URL must not name a database number: the site uses {BROKER} (broker) and {HANDOFF} (hand-off)."
        )
    return urlunsplit((parts.scheme, parts.netloc, f"/{number}", parts.query, ""))


def broker_url(base: str) -> str:
    """Return the URL of the broker in Celery's format, which differs for unix sockets; for TLS see `broker_tls`."""
    parts = _split(base)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={BROKER}"
    return database_url(urlunsplit(parts._replace(query="")), BROKER)


def broker_tls(base: str) -> dict[str, str | bool] | None:
    """Return Celery's `broker_use_ssl` for a `rediss://` URL, None for other URLs.

    Without it, Celery accepts any certificate. For the prediction queue, redis-py checks certificates itself; it reads
    the same options from the URL: a private CA and a client certificate.

    Raises:
        ImproperlyConfigured: An option is unknown, or its file does not exist.
    """
    parts = _split(base)
    if parts.scheme != "rediss":
        return None
    options = dict(parse_qsl(parts.query))
    for name, file in options.items():
        if name not in TLS_FILES:
            raise ImproperlyConfigured(f"REDIS_URL says {name}; what may stand there is {', '.join(TLS_FILES)}.")
        if not Path(file).is_file():
            raise ImproperlyConfigured(f"REDIS_URL names the file {file} as {name}, and it is not there.")
    return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **options}
