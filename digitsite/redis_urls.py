"""One Redis, two database numbers: what Celery keeps and what the hand-off keeps cannot be taken for each other."""

import os
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from django.core.exceptions import ImproperlyConfigured

BROKER, HANDOFF = 0, 1
# Options of a rediss:// address, each the path of a PEM file.
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

# sockaddr_un holds 104 bytes on macOS and 108 on Linux, the closing zero included.
LONGEST_SOCKET_PATH = 100


def embedded_socket(data_dir: Path) -> Path:
    """Where the embedded Valkey of this data folder listens; a folder too deep gets a short place instead."""
    path = data_dir.resolve() / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    import hashlib
    import tempfile

    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"digitsite-{os.getuid()}-{digest}" / "redis.sock"


def database_url(base: str, number: int) -> str:
    """The address of database `number` on the server `base`, in redis-py's spelling."""
    parts = urlsplit(base)
    if parts.scheme == "unix":
        return f"unix://{parts.path}?{urlencode({'db': number})}"
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        # Not the address itself, which may hold a password.
        raise ImproperlyConfigured(
            "REDIS_URL makes no sense; write redis://host:6379, rediss://:password@host:6379 or unix:///path/redis.sock."
        )
    if parts.path.strip("/"):
        raise ImproperlyConfigured(
            "REDIS_URL must not name a database number: the site uses 0 (broker), 1 (hand-off) and 2 (cache)."
        )
    return urlunsplit((parts.scheme, parts.netloc, f"/{number}", parts.query, ""))


def broker_url(base: str) -> str:
    """The address of the broker in Celery's spelling, which differs for unix sockets; for TLS see `broker_tls`."""
    parts = urlsplit(base)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.path}?{urlencode({'virtual_host': BROKER})}"
    return database_url(urlunsplit(parts._replace(query="")), BROKER)


def broker_tls(base: str) -> dict[str, str | bool] | None:
    """Celery's `broker_use_ssl` for a `rediss://` address; None for the others.

    Without it Celery would believe any certificate. Those of the hand-off and the cache are checked by redis-py, which
    reads the same options from the address: a CA file of one's own, and a certificate that the server may ask for.
    """
    parts = urlsplit(base)
    if parts.scheme != "rediss":
        return None
    given = dict(parse_qsl(parts.query))
    for name, file in given.items():
        if name not in TLS_FILES:
            raise ImproperlyConfigured(f"REDIS_URL says {name}; what may stand there is {', '.join(TLS_FILES)}.")
        if not Path(file).is_file():
            raise ImproperlyConfigured(f"REDIS_URL names the file {file} as {name}, and it is not there.")
    return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **given}
