"""One Redis, two database numbers: what Celery keeps and what the hand-off keeps cannot be taken for each other."""

import os
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit, urlunsplit

from django.core.exceptions import ImproperlyConfigured

BROKER, HANDOFF = 0, 1
# Options of a rediss:// address, each the path of a PEM file.
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

# sockaddr_un holds 104 bytes on macOS and 108 on Linux, the closing zero included.
MAX_SOCKET_PATH = 100


def embedded_socket(data_dir: Path) -> Path:
    """Return where the embedded Valkey of this data folder listens; a folder too deep gets a short place instead."""
    path = data_dir.resolve() / "redis.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    import hashlib

    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    # Not TMPDIR, which is long on a Mac and may differ between the site and a command that is to reach it. The folder
    # is made for its owner alone, and refused where it belongs to another account (supervisor.parts).
    return Path(f"/tmp/digitsite-{os.getuid()}-{digest}/redis.sock")  # noqa: S108


def unix_url(socket: Path) -> str:
    """Return the address of a server that listens on a unix socket."""
    return f"unix://{quote(str(socket))}"


def _split(base: str) -> SplitResult:
    """Split the address of a server.

    Raises:
        ImproperlyConfigured: it is none. The message leaves out the address itself, which may hold a password.
    """
    try:
        parts = urlsplit(base)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    names_server = parts.path.startswith("/") if parts.scheme == "unix" else parts.hostname
    if parts.scheme not in ("redis", "rediss", "unix") or not names_server:
        raise ImproperlyConfigured(
            "REDIS_URL makes no sense; write redis://host:6379, rediss://:password@host:6379 or unix:///path/redis.sock."
        )
    if parts.scheme == "unix" and parts.hostname:
        raise ImproperlyConfigured("REDIS_URL names a path that is not absolute; write unix:///path/redis.sock.")
    if parts.fragment or (parts.query and parts.scheme != "rediss"):
        raise ImproperlyConfigured(
            "REDIS_URL holds # or ?; inside a path or password write %23 and %3F for them. Options are for rediss:// "
            "alone."
        )
    # Celery takes a ; for the end of an address, and what parses an address otherwise a bare %.
    return parts._replace(path=quote(unquote(parts.path))) if parts.scheme == "unix" else parts


def database_url(base: str, number: int) -> str:
    """Return the address of database `number` on the server `base`, in redis-py's spelling."""
    parts = _split(base)
    if parts.scheme == "unix":
        return f"unix://{parts.netloc}{parts.path}?db={number}"
    if parts.path.strip("/"):
        raise ImproperlyConfigured(
            f"REDIS_URL must not name a database number: the site uses {BROKER} (broker) and {HANDOFF} (hand-off)."
        )
    return urlunsplit((parts.scheme, parts.netloc, f"/{number}", parts.query, ""))


def broker_url(base: str) -> str:
    """The address of the broker in Celery's spelling, which differs for unix sockets; for TLS see `broker_tls`."""
    parts = _split(base)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={BROKER}"
    return database_url(urlunsplit(parts._replace(query="")), BROKER)


def broker_tls(base: str) -> dict[str, str | bool] | None:
    """Celery's `broker_use_ssl` for a `rediss://` address; None for the others.

    Without it Celery would believe any certificate. Those of the hand-off are checked by redis-py, which
    reads the same options from the address: a CA file of one's own, and a certificate that the server may ask for.
    """
    parts = _split(base)
    if parts.scheme != "rediss":
        return None
    given = dict(parse_qsl(parts.query))
    for name, file in given.items():
        if name not in TLS_FILES:
            raise ImproperlyConfigured(f"REDIS_URL says {name}; what may stand there is {', '.join(TLS_FILES)}.")
        if not Path(file).is_file():
            raise ImproperlyConfigured(f"REDIS_URL names the file {file} as {name}, and it is not there.")
    return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **given}
