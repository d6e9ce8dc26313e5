"""Kinds of settings: each parses the text of an environment variable."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

N = TypeVar("N", int, float)

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}
SQLITE, POSTGRESQL = "django.db.backends.sqlite3", "django.db.backends.postgresql"
# A value of the Host header that a client can send, without the port.
HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"
SCHEDULES = {"off": 0.0, "hourly": 1.0, "daily": 24.0, "weekly": 168.0}
PLACEHOLDERS = ("django-insecure", "change", "secret", "example", "placeholder")


class InvalidValueError(ValueError):
    """The text is no value of this kind. The message follows the name of the setting: "is 'x'; write a number."."""


@dataclass(frozen=True)
class Kind:
    """A kind of settings.

    Attributes:
        description: Type and limits, for the settings reference.
        parse: Returns the value of a text without surrounding whitespace; raises InvalidValueError.
        has_empty_value: Whether an empty text is a value. Otherwise it stands for the default.
    """

    description: str
    parse: Callable[[str], Any]
    has_empty_value: bool = False


def is_printable(value: str) -> bool:
    """Return whether the value is free of control characters, line separators and surrogates. Spaces are allowed."""
    return value.isprintable() or not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in value)


# --- Simple values -----------------------------------------------------------------------------------------------


def _parse_boolean(value: str) -> bool:
    if value.lower() not in TRUE | FALSE:
        raise InvalidValueError(f"is {value!r}; write 1 or 0.")
    return value.lower() in TRUE


def _number(number: Callable[[str], N], minimum: N, maximum: N) -> Callable[[str], N | None]:
    def parse(value: str) -> N | None:
        if not value:
            return None
        try:
            parsed = number(value)
        except ValueError:
            raise InvalidValueError(f"is {value!r}; write a number.") from None
        if not minimum <= parsed <= maximum:
            raise InvalidValueError(f"is {value}; it must lie between {minimum} and {maximum}.")
        return parsed

    return parse


def integer(minimum: int = 0, maximum: int = 2**31) -> Kind:
    """Return the kind of an integer between `minimum` and `maximum`; None if there is no value."""
    return Kind(f"integer, {minimum} to {maximum}", _number(int, minimum, maximum))


def number(minimum: float, maximum: float) -> Kind:
    """Return the kind of a float between `minimum` and `maximum`."""
    return Kind(f"number, {minimum:g} to {maximum:g}", _number(float, minimum, maximum))


def choice(*allowed: str) -> Kind:
    """Return the kind of a word out of the allowed ones."""

    def parse(value: str) -> str:
        if value not in allowed:
            raise InvalidValueError(f"is {value!r}; write one of: {', '.join(allowed)}.")
        return value

    return Kind(", ".join(allowed), parse)


def limits(example: str) -> Kind:
    """Return the kind of comma-separated integers, as many as in `example`. A single integer stands for all of them."""
    count = example.count(",") + 1

    def parse(value: str) -> tuple[int, ...]:
        parts = [part.strip() for part in value.split(",")]
        if len(parts) == 1:
            parts *= count
        if len(parts) != count or not all(part.isdecimal() and len(part) <= 9 for part in parts):
            raise InvalidValueError(f"is {value!r}; write one number, or {count} as in {example}.")
        return tuple(map(int, parts))

    return Kind(f"one integer or {count}", parse)


def _parse_schedule(value: str) -> float | None:
    """Return an interval in hours; 0 means off."""
    if value.lower() in SCHEDULES:
        return SCHEDULES[value.lower()]
    try:
        return _number(float, 0.1, 8766.0)(value)
    except InvalidValueError:
        allowed = ", ".join(SCHEDULES)
        raise InvalidValueError(f"is {value!r}; write one of {allowed}, or a number of hours.") from None


def _split(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


# --- Hosts and URLs ----------------------------------------------------------------------------------------------


def _parse_hosts(value: str) -> list[str]:
    """Return host names and addresses. An address with a port, for example, would never match a request."""
    hosts = _split(value)
    for host in hosts:
        if "*" not in host and not re.fullmatch(HOST, host):
            raise InvalidValueError(
                f"holds {host!r}; write names and addresses alone, without scheme, port and path, and IPv6 in brackets."
            )
    return hosts


def origins(*, wildcard: str) -> Kind:
    """Return the kind of origins, in lower case as browsers send them.

    Args:
        wildcard: Regular expression of other values that are allowed.
    """

    def parse(value: str) -> list[str]:
        items = [origin.lower() for origin in _split(value)]
        for origin in items:
            if not re.fullmatch(rf"https?://(?:{HOST})(?::[0-9]+)?|{wildcard}", origin):
                raise InvalidValueError(
                    f"holds {origin!r}; write origins alone, such as https://digits.example.com, without a path."
                )
        return items

    return Kind("origins with commas", parse)


def _parse_base_url(value: str) -> str:
    try:
        url = urlsplit(value)
        is_address = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_address = False
    if value and (not is_address or url.path.strip("/") or url.query or url.fragment or "@" in url.netloc):
        raise InvalidValueError(f"is {value!r}; write scheme and host, as in https://digits.example.org.")
    return value and f"{url.scheme}://{url.netloc}"


def _parse_database_url(value: str) -> dict[str, Any] | None:
    """Return an entry of Django's DATABASES. Messages omit the URL because it may contain a password."""
    if not value:
        return None
    import dj_database_url  # the supervisor rarely needs it

    try:
        url = urlsplit(value)
        entry: dict[str, Any] = {**dj_database_url.parse(value)}
    except (ValueError, KeyError):
        entry = {}
    if entry.get("ENGINE") not in (SQLITE, POSTGRESQL):
        raise InvalidValueError("must look like postgres://user:password@host/name or sqlite:////path/file.")
    if url.fragment or (url.query and entry["ENGINE"] == SQLITE):
        raise InvalidValueError("holds # or ?; inside a name or password write %23 and %3F for them.")
    if entry["ENGINE"] == SQLITE:
        if entry["NAME"] in ("", ":memory:"):
            raise InvalidValueError("names no file; each process would have a database of its own.")
        # Relative to the project, so that all processes open the same file in any working directory.
        entry["NAME"] = Path(__file__).resolve().parent.parent.parent / str(entry["NAME"])
    return entry


# --- Mail --------------------------------------------------------------------------------------------------------


def _parse_sender(value: str) -> str:
    if not re.fullmatch(r"[^<>@]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+", value):
        raise InvalidValueError(f"is {value!r}; write an address such as digits@example.com.")
    return value


def _parse_contact(value: str) -> str:
    if value and not re.fullmatch(r"(mailto:[^\s@]+@[^\s@]+|https://\S+|tel:[+\d-]+)", value):
        raise InvalidValueError(f"is {value!r}; write mailto:name@host, or a URL that begins with https://.")
    return value


def _parse_mail_url(value: str) -> SplitResult:
    """Return the parts of `smtp://user:password@host:587`. Messages omit the URL because it may contain a password."""
    try:
        url = urlsplit(value)
        is_valid = url.scheme in ("smtp", "smtp+tls", "smtps") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_valid = False
    if value and (not is_valid or url.path.strip("/") or url.query or url.fragment):
        raise InvalidValueError("must look like smtp+tls://user:password@mail.example.org:587.")
    return url


# --- Secrets -----------------------------------------------------------------------------------------------------


def secret(min_length: int, *, is_ascii: bool = False) -> Kind:
    """Return the kind of a long random text.

    Args:
        min_length: Minimum number of characters.
        is_ascii: Whether another program sends it in an HTTP header.
    """

    def parse(value: str) -> str:
        if not value:
            return value
        if len(value) < min_length:
            raise InvalidValueError(f"is shorter than {min_length} characters; write a long random one.")
        if len(set(value)) < 5 or value.lower().startswith(PLACEHOLDERS):
            raise InvalidValueError(
                "is a placeholder that is easy to guess; write a long random one, as `openssl rand -hex 32` does."
            )
        if is_ascii and not value.isascii():
            raise InvalidValueError("holds a letter outside of ASCII; `openssl rand -hex 32` makes a good one.")
        return value

    return Kind(f"at least {min_length} characters", parse)


TEXT = Kind("text", str)
BOOLEAN = Kind("1 or 0", _parse_boolean, has_empty_value=True)
SCHEDULE = Kind("off, hourly, daily, weekly, or hours", _parse_schedule)
HOSTS = Kind("names with commas", _parse_hosts, has_empty_value=True)
BASE_URL = Kind("URL", _parse_base_url)
DATABASE_URL = Kind("URL", _parse_database_url)
SENDER = Kind("address", _parse_sender)
CONTACT = Kind("mailto: or https: URL", _parse_contact)
MAIL_URL = Kind("URL", _parse_mail_url)
