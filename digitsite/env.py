"""Readers for settings in environment variables.

An invalid value raises ImproperlyConfigured with a message of one line, which stops the start.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

N = TypeVar("N", int, float)

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}
SQLITE, POSTGRESQL = "django.db.backends.sqlite3", "django.db.backends.postgresql"

# --- Deprecated names --------------------------------------------------------------------------------------------

# Old name -> new name. The old names work until release 2.0.
DEPRECATED_NAMES = {
    "SHIFT_SECONDS": "WORKER_SESSION_SECONDS",
    "SHIFT_IDLE_SECONDS": "WORKER_IDLE_SECONDS",
    "CANARY_SECONDS": "LIVENESS_INTERVAL_SECONDS",
    "SWEEP_SECONDS": "RECOVERY_INTERVAL_SECONDS",
    "SIGN_IN_TRIES": "MAX_LOGIN_ATTEMPTS",
    "MAX_KEPT_SIDE": "MAX_STORED_IMAGE_SIDE",
}
_OLD_NAMES = {new: old for old, new in DEPRECATED_NAMES.items()}


def deprecation_warnings() -> list[str]:
    """Return one line for each deprecated name that is set."""
    return [
        f"setting_deprecated: {old} is now called {new}; "
        + (f"{old} is ignored because both are set" if os.environ.get(new) else "the old name works until release 2.0")
        for old, new in DEPRECATED_NAMES.items()
        if os.environ.get(old)
    ]


def with_current_names(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with deprecated names replaced by the current ones."""
    renamed = {DEPRECATED_NAMES[name]: value for name, value in environ.items() if name in DEPRECATED_NAMES}
    current = {name: value for name, value in environ.items() if name not in DEPRECATED_NAMES}
    return current | {name: value for name, value in renamed.items() if not current.get(name)}


def _get(name: str) -> str | None:
    """Return the raw value of a setting, also if it is set under its deprecated name; None if it is not set."""
    value = os.environ.get(name)
    return value or os.environ.get(_OLD_NAMES[name], value) if name in _OLD_NAMES else value


# --- Simple values -----------------------------------------------------------------------------------------------


def text(name: str, default: str = "") -> str:
    """Return a setting without surrounding whitespace.

    Raises:
        ImproperlyConfigured: The value contains a control character, which would break a log line, a header or a URL.
    """
    raw = _get(name)
    value = (default if raw is None else raw).strip()
    if not is_printable(value):
        raise ImproperlyConfigured(f"{name} holds a line break or another control character.")
    return value


def is_printable(value: str) -> bool:
    """Return whether the value is free of control characters, line separators and surrogates. Spaces are allowed."""
    return value.isprintable() or not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in value)


def boolean(name: str, default: bool) -> bool:
    """Return a setting that is true (1, true, yes, on) or false (0, false, no, off, empty)."""
    raw = _get(name)
    if raw is None:
        return default
    if raw.strip().lower() in TRUE:
        return True
    if raw.strip().lower() in FALSE:
        return False
    raise ImproperlyConfigured(f"{name} is {raw!r}; write 1 or 0.")


def _number(name: str, default: N, kind: Callable[[str], N], minimum: N, maximum: N) -> N:
    raw = text(name)
    if not raw:
        return default
    try:
        value = kind(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {raw!r}; write a number.") from None
    if not minimum <= value <= maximum:
        raise ImproperlyConfigured(f"{name} is {raw}; it must lie between {minimum} and {maximum}.")
    return value


def integer(name: str, default: int, *, minimum: int = 0, maximum: int = 2**31) -> int:
    """Return an integer between `minimum` and `maximum`."""
    return _number(name, default, int, minimum, maximum)


def number(name: str, default: float, *, minimum: float = 0.0, maximum: float = 1e12) -> float:
    """Return a float between `minimum` and `maximum`."""
    return _number(name, default, float, minimum, maximum)


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """Return one of the allowed values."""
    value = text(name, default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} is {value!r}; write one of: {', '.join(allowed)}.")
    return value


def limits(name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """Return comma-separated integers, as many as `default` has. A single integer is used for all of them."""
    raw = text(name)
    if not raw:
        return default
    parts = [part.strip() for part in raw.split(",")]
    if len(parts) == 1:
        parts *= len(default)
    if len(parts) != len(default) or not all(part.isdecimal() and len(part) <= 9 for part in parts):
        example = ",".join(map(str, default))
        raise ImproperlyConfigured(f"{name} is {raw!r}; write one number, or {len(default)} as in {example}.")
    return tuple(int(part) for part in parts)


SCHEDULES = {"off": 0.0, "hourly": 1.0, "daily": 24.0, "weekly": 168.0}


def schedule(name: str, default: str) -> float:
    """Return an interval in hours: off, hourly, daily, weekly, or a number of hours. 0 means off."""
    raw = text(name, default).lower() or default
    if raw in SCHEDULES:
        return SCHEDULES[raw]
    try:
        return _number(name, 0.0, float, 0.1, 8766.0)
    except ImproperlyConfigured:
        allowed = ", ".join(SCHEDULES)
        raise ImproperlyConfigured(f"{name} is {raw!r}; write one of {allowed}, or a number of hours.") from None


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """Return the items of a comma-separated list."""
    raw = _get(name)
    if raw is None:
        return list(default)
    return [word.strip() for word in raw.split(",") if word.strip()]


# --- Hosts and URLs ----------------------------------------------------------------------------------------------

# A value of the Host header that a client can send, without the port.
HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"


def hosts(name: str, default: tuple[str, ...]) -> list[str]:
    """Return a comma-separated list of host names and addresses.

    Raises:
        ImproperlyConfigured: An item, such as an address with a port, would never match a request.
    """
    names = words(name, default)
    for host in names:
        if "*" not in host and not re.fullmatch(HOST, host):
            raise ImproperlyConfigured(
                f"{name} holds {host!r}; write names and addresses alone, without scheme, port and path, and IPv6 in "
                "brackets."
            )
    return names


def origins(name: str, *, wildcard: str) -> list[str]:
    """Return a comma-separated list of origins such as https://digits.example.com, in lower case as browsers send them.

    Args:
        name: The setting.
        wildcard: Regular expression of other values that are allowed.

    Raises:
        ImproperlyConfigured: An item would never match a request.
    """
    items = [origin.lower() for origin in words(name)]
    for origin in items:
        if not re.fullmatch(rf"https?://(?:{HOST})(?::[0-9]+)?|{wildcard}", origin):
            raise ImproperlyConfigured(
                f"{name} holds {origin!r}; write origins alone, such as https://digits.example.com, without a path."
            )
    return items


def public_names(hosts: list[str]) -> list[str]:
    """Return the hosts that the public DNS may resolve: no IP addresses and no names of local networks."""
    return [host for host in hosts if "." in host and not _is_local(host.strip(".").lower())]


# RFC 6761 (https://www.rfc-editor.org/rfc/rfc6761), RFC 6762, RFC 8375, and endings in use by routers and companies.
LOCAL_ENDINGS = (".localhost", ".local", ".lan", ".internal", ".intranet", ".home", ".home.arpa", ".test", ".invalid")


def _is_local(host: str) -> bool:
    if host.startswith("[") or host.replace(".", "").isdigit():  # an IP address, which rarely has a certificate
        return True
    return host.endswith(LOCAL_ENDINGS)


def site_url(name: str, *, hosts: list[str], https: bool, behind_proxy: bool, needed: bool) -> str:
    """Return the base URL of the site for links in mail: the setting, or a URL derived from other settings.

    Args:
        name: The setting.
        hosts: ALLOWED_HOSTS. The first public name is used, otherwise the first item.
        https: Whether the site is served with HTTPS.
        behind_proxy: Whether a proxy serves the site, on a default port.
        needed: Whether mail is sent. A URL that cannot be derived is an error in this case.

    Raises:
        ImproperlyConfigured: The setting is invalid, or it is needed and cannot be derived.
    """
    raw = text(name)
    if not raw:
        host = (public_names(hosts) or hosts)[0]
        if host.startswith("."):
            if needed:
                raise ImproperlyConfigured(f"ALLOWED_HOSTS names every host below {host}; set {name} for mailed links.")
            host = host.removeprefix(".")
        port = 0 if https or behind_proxy else integer("PORT", 8000, maximum=65535)
        return f"{'https' if https else 'http'}://{host}{f':{port}' if port not in (0, 80) else ''}"
    try:
        url = urlsplit(raw)
        is_address = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_address = False
    if not is_address or url.path.strip("/") or url.query or url.fragment or "@" in url.netloc:
        raise ImproperlyConfigured(f"{name} is {raw!r}; write scheme and host, as in https://digits.example.org.")
    return f"{url.scheme}://{url.netloc}"


# --- Mail --------------------------------------------------------------------------------------------------------


def sender(name: str, default: str) -> str:
    """Return a sender of mail: `digits@example.com` or `Digits <digits@example.com>`."""
    value = text(name, default) or default
    if not re.fullmatch(r"[^<>@]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+", value):
        raise ImproperlyConfigured(f"{name} is {value!r}; write an address such as digits@example.com.")
    return value


@dataclass(frozen=True)
class MailServer:
    """An SMTP server.

    Attributes:
        host: Name or address.
        port: TCP port.
        user: Login name; empty if the server requires none.
        password: Password of the user.
        use_tls: Upgrade the connection with STARTTLS.
        use_ssl: Open the connection with TLS.
    """

    host: str
    port: int
    user: str
    password: str
    use_tls: bool
    use_ssl: bool


def mail_server(name: str) -> MailServer | None:
    """Return the mail server of a URL: `smtp://user:password@host:587`, `smtps://…:465` or `smtp+tls://…`.

    Returns:
        The server, or None if the setting is empty.

    Raises:
        ImproperlyConfigured: The URL is invalid. The message omits it because it may contain a password.
    """
    raw = text(name)
    if not raw:
        return None
    try:
        url = urlsplit(raw)
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    has_more = url.path.strip("/") or url.query or url.fragment
    if url.scheme not in ("smtp", "smtp+tls", "smtps") or not url.hostname or has_more or port == 0:
        raise ImproperlyConfigured(f"{name} must look like smtp+tls://user:password@mail.example.org:587.")
    return MailServer(
        host=url.hostname,
        port=port or {"smtp": 25, "smtp+tls": 587, "smtps": 465}[url.scheme],
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
        use_tls=url.scheme == "smtp+tls",
        use_ssl=url.scheme == "smtps",
    )


# --- Secrets -----------------------------------------------------------------------------------------------------

MIN_TOKEN_LENGTH = 16
PLACEHOLDERS = ("django-insecure", "change", "secret", "example", "placeholder")


def secret(name: str) -> str:
    """Return a secret that another program has to send; empty if it is not set.

    Raises:
        ImproperlyConfigured: It is short, can be guessed, or contains non-ASCII characters.
    """
    value = text(name)
    if value:
        check_secret(name, value, MIN_TOKEN_LENGTH)
        if not value.isascii():  # HTTP headers are ASCII
            raise ImproperlyConfigured(
                f"{name} holds a letter outside of ASCII; `openssl rand -hex 32` makes a good one."
            )
    return value


def check_secret(name: str, value: str, min_length: int) -> None:
    """Check that a secret is long and not a placeholder.

    Raises:
        ImproperlyConfigured: It is too short or can be guessed.
    """
    if len(value) < min_length:
        raise ImproperlyConfigured(f"{name} is shorter than {min_length} characters; write a long random one.")
    if len(set(value)) < 5 or value.lower().startswith(PLACEHOLDERS):
        raise ImproperlyConfigured(
            f"{name} is a placeholder that anybody can guess; write a long random one, as `openssl rand -hex 32` does."
        )


# --- Database ----------------------------------------------------------------------------------------------------


def database(name: str, default: Path) -> dict[str, Any]:
    """Return the database of a URL as an entry of Django's DATABASES.

    Args:
        name: The setting.
        default: SQLite file to use if the setting is empty. It is a path and not a URL: `#`, `?` and `%` are allowed.

    Raises:
        ImproperlyConfigured: It is not a URL of SQLite or PostgreSQL. The message omits it because it may contain a
            password.
    """
    address = text(name)
    if not address:
        return {"ENGINE": SQLITE, "NAME": default}
    import dj_database_url  # the supervisor does not need it

    try:
        url = urlsplit(address)
        entry: dict[str, Any] = {**dj_database_url.parse(address)}
    except (ValueError, KeyError):
        entry = {}
    if entry.get("ENGINE") not in (SQLITE, POSTGRESQL):
        raise ImproperlyConfigured(f"{name} must look like postgres://user:password@host/name or sqlite:////path/file.")
    if url.fragment or (url.query and entry["ENGINE"] == SQLITE):
        raise ImproperlyConfigured(f"{name} holds # or ?; inside a name or password write %23 and %3F for them.")
    if entry["ENGINE"] == SQLITE:
        if entry["NAME"] in ("", ":memory:"):
            raise ImproperlyConfigured(f"{name} names no file; each process would have a database of its own.")
        # Relative to the project, so that all processes open the same file in any working directory.
        entry["NAME"] = Path(__file__).resolve().parent.parent / str(entry["NAME"])
    return entry
