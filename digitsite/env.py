"""Reading settings from the environment, loudly: a bad value stops the start with one clear line."""

import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

N = TypeVar("N", int, float)

TRUE = {"1", "true", "yes", "on"}
SQLITE, POSTGRESQL = "django.db.backends.sqlite3", "django.db.backends.postgresql"
FALSE = {"0", "false", "no", "off", ""}


def text(name: str, default: str = "") -> str:
    """Return a setting without the blanks around it.

    Raises:
        ImproperlyConfigured: it holds a control character, which would break a log line, a header or an address.
    """
    value = os.environ.get(name, default).strip()
    if not _is_printable(value):
        raise ImproperlyConfigured(f"{name} holds a line break or another control character.")
    return value


def _is_printable(value: str) -> bool:
    """Whether it holds no control characters, line ends or bytes that are no UTF-8; blanks of any kind are fine."""
    return value.isprintable() or not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in value)


def boolean(name: str, default: bool) -> bool:
    raw = os.environ.get(name)
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
    return _number(name, default, int, minimum, maximum)


def number(name: str, default: float, *, minimum: float = 0.0, maximum: float = 1e12) -> float:
    return _number(name, default, float, minimum, maximum)


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} is {value!r}; write one of: {', '.join(allowed)}.")
    return value


def limits(name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """As many whole numbers as `default` has, with commas between; a single one stands for all of them."""
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
    """How often, in hours: off, hourly, daily, weekly, or a number of hours. 0 means off."""
    raw = text(name, default).lower() or default
    if raw in SCHEDULES:
        return SCHEDULES[raw]
    try:
        return _number(name, 0.0, float, 0.1, 8766.0)
    except ImproperlyConfigured:
        allowed = ", ".join(SCHEDULES)
        raise ImproperlyConfigured(f"{name} is {raw!r}; write one of {allowed}, or a number of hours.") from None


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A comma-separated list."""
    raw = os.environ.get(name)
    if raw is None:
        return list(default)
    return [word.strip() for word in raw.split(",") if word.strip()]


# What a browser or a program can write into the header Host, without the port.
HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"


def hosts(name: str, default: tuple[str, ...]) -> list[str]:
    """Read a comma-separated list of host names and addresses.

    Raises:
        ImproperlyConfigured: one of them, such as an address with a port, would never match a request.
    """
    found = words(name, default)
    for host in found:
        if "*" not in host and not re.fullmatch(HOST, host):
            raise ImproperlyConfigured(
                f"{name} holds {host!r}; write names and addresses alone, without scheme, port and path, and IPv6 in "
                "brackets."
            )
    return found


def origins(name: str, *, wildcard: str) -> list[str]:
    """Read a comma-separated list of origins such as https://digits.example.com, in lower case as browsers send them.

    Args:
        wildcard: a regular expression of what may also stand there.

    Raises:
        ImproperlyConfigured: one of them would never match a request.
    """
    found = [origin.lower() for origin in words(name)]
    for origin in found:
        if not re.fullmatch(rf"https?://(?:{HOST})(?::[0-9]+)?|{wildcard}", origin):
            raise ImproperlyConfigured(
                f"{name} holds {origin!r}; write origins alone, such as https://digits.example.com, without a path."
            )
    return found


def sender(name: str, default: str) -> str:
    """Read the sender of mail: `digits@example.com` or `Digits <digits@example.com>`."""
    value = text(name, default) or default
    if not re.fullmatch(r"[^<>@]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+", value):
        raise ImproperlyConfigured(f"{name} is {value!r}; write an address such as digits@example.com.")
    return value


@dataclass(frozen=True)
class MailServer:
    """An SMTP server and how to log in."""

    host: str
    port: int
    user: str
    password: str
    use_tls: bool
    """Upgrade the connection with STARTTLS."""
    use_ssl: bool
    """Open the connection with TLS."""


def mail_server(name: str) -> MailServer | None:
    """Parse the URL of a mail server: `smtp://user:password@host:587`, `smtps://…:465` or `smtp+tls://…`.

    Returns:
        The server, or None if the setting is empty.

    Raises:
        ImproperlyConfigured: The URL is invalid. The message does not repeat it, because it may contain a password.
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


def site_url(name: str, *, hosts: list[str], https: bool, behind_proxy: bool, needed: bool) -> str:
    """The site's own address, as mailed links begin: as it is set, or made up of the other settings.

    Args:
        hosts: ALLOWED_HOSTS; the first public name stands for the site, or else the first one.
        needed: mail is sent, so an address that cannot be made up stops the start.
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


# As Django's deployment check wants it (security.W009).
MIN_KEY_LENGTH = 50
MIN_TOKEN_LENGTH = 16
PLACEHOLDERS = ("django-insecure", "change", "secret", "example", "placeholder")


def secret(name: str) -> str:
    """A password that another program must show; empty: not set."""
    given = text(name)
    if given:
        _check_secret(name, given, MIN_TOKEN_LENGTH)
        if not given.isascii():  # a header would not carry it
            raise ImproperlyConfigured(
                f"{name} holds a letter outside of ASCII; `openssl rand -hex 32` makes a good one."
            )
    return given


def _check_secret(name: str, given: str, shortest: int) -> None:
    if len(given) < shortest:
        raise ImproperlyConfigured(f"{name} is shorter than {shortest} characters; write a long random one.")
    if len(set(given)) < 5 or given.lower().startswith(PLACEHOLDERS):
        raise ImproperlyConfigured(
            f"{name} is a placeholder that anybody can guess; write a long random one, as `openssl rand -hex 32` does."
        )


def public_names(hosts: list[str]) -> list[str]:
    """Those of `hosts` that anybody on the internet could look up: no addresses, no names of a home network."""
    return [host for host in hosts if "." in host and not _is_local(host.strip(".").lower())]


# https://www.rfc-editor.org/rfc/rfc6761, RFC 6762, RFC 8375, and what home routers and companies use
LOCAL_ENDINGS = (".localhost", ".local", ".lan", ".internal", ".intranet", ".home", ".home.arpa", ".test", ".invalid")


def _is_local(host: str) -> bool:
    if host.startswith("[") or host.replace(".", "").isdigit():  # an address, for which nobody has a certificate
        return True
    return host.endswith(LOCAL_ENDINGS)


def data_dir() -> Path:
    """Return `DATA_DIR`, else the folder `data` beside the code: database, pictures, secret key, embedded Redis.

    Raises:
        ImproperlyConfigured: its name cannot stand in a log line or an address.
    """
    # Blanks at either end belong to the name: without them it would be another folder, perhaps that of another site.
    named = os.environ.get("DATA_DIR") or Path(__file__).resolve().parent.parent / "data"
    try:
        folder = Path(named).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ImproperlyConfigured(f"DATA_DIR is {str(named)!r}, which is no folder: {error}.") from None
    if not _is_printable(str(folder)):
        raise ImproperlyConfigured(
            f"The data folder is {str(folder)!r}; its name holds a line break or another control character. Rename it "
            "or choose another one: make run DATA_DIR=…"
        )
    _check_owner(folder)
    return folder


# By their owner the account is known where the data folder itself belongs to root. SQLite keeps it when root writes.
SITE_FILES = (".", "db.sqlite3", "secret_key", "media")


def _check_owner(folder: Path) -> None:
    """Refuse to work as root on the site of another account.

    What root writes that account could not write afterwards: one command as root, and every tenth submission failed.

    Raises:
        ImproperlyConfigured: this is root, and the site is not root's.
    """
    if os.geteuid() != 0:
        return
    owners = (path.stat().st_uid for name in SITE_FILES if (path := folder / name).exists())
    owner = next(filter(None, owners), 0)
    if owner:
        import pwd

        try:
            account = pwd.getpwuid(owner).pw_name
        except KeyError:
            account = f"#{owner}"
        raise ImproperlyConfigured(
            f"The data folder {folder} belongs to the account {account}, which could not write what root leaves there. "
            f"Run this as that account: sudo -u '{account}' …"
        )


def database(name: str, default: Path) -> dict[str, object]:
    """Read the address of the database as an entry of Django's DATABASES.

    Args:
        name: the setting's name.
        default: the SQLite file to use where it is not set. A path is not an address: `#`, `?` and `%` are parts of it.

    Raises:
        ImproperlyConfigured: it is no address of SQLite or PostgreSQL. The message leaves out what may be a password.
    """
    address = text(name)
    if not address:
        return {"ENGINE": SQLITE, "NAME": default}
    import dj_database_url  # not needed by the supervisor

    try:
        url = urlsplit(address)
        found: dict[str, object] = {**dj_database_url.parse(address)}
    except (ValueError, KeyError):
        found = {}
    if found.get("ENGINE") not in (SQLITE, POSTGRESQL):
        raise ImproperlyConfigured(f"{name} must look like postgres://user:password@host/name or sqlite:////path/file.")
    if url.fragment or (url.query and found["ENGINE"] == SQLITE):
        raise ImproperlyConfigured(f"{name} holds # or ?; inside a name or password write %23 and %3F for them.")
    if found["ENGINE"] == SQLITE:
        if found["NAME"] in ("", ":memory:"):
            raise ImproperlyConfigured(f"{name} names no file; each process would have a database of its own.")
        # Every process of the site finds the same file, wherever it was started.
        found["NAME"] = Path(__file__).resolve().parent.parent / str(found["NAME"])
    return found


def secret_key(data_dir: Path) -> str:
    """`SECRET_KEY`, else the key that this installation once made for itself in its data folder (mode 600).

    Several hosts that serve one site must be given the same `SECRET_KEY`.
    """
    given = text("SECRET_KEY")
    if given:
        _check_secret("SECRET_KEY", given, MIN_KEY_LENGTH)
        return given
    path = data_dir / "secret_key"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        # Written whole under another name and then linked, so that of two processes starting together
        # the second reads the first one's key instead of half of it.
        if not path.exists():
            import secrets  # brings OpenSSL, 4 MB that the supervisor need not carry

            draft = data_dir / f".secret_key.{secrets.token_hex(4)}"  # not one that an interrupted start has left
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(48))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        key = path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The secret key cannot be kept in {path} ({error.strerror}). Make DATA_DIR writable or set SECRET_KEY."
        ) from error
    if not key:
        raise ImproperlyConfigured(
            f"The secret key in {path} is empty, as after a power cut. Put it back from a backup, or delete the file: "
            "then everybody has to sign in again."
        )
    return key
