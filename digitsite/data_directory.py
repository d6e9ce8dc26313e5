"""The data directory: its location, its owner and the secret key in it."""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from . import env

# If the data directory itself belongs to root, these files show which account runs the site. SQLite keeps the owner of
# its file when root writes to it.
SITE_FILES = (".", "db.sqlite3", "secret_key", "media")


def data_dir() -> Path:
    """Return `DATA_DIR`, by default `data` in the project: database, images, secret key and embedded Redis.

    Raises:
        ImproperlyConfigured: Its name cannot be used in a log line or a URL, or root would write files that the account
            of the site could not write.
    """
    # Surrounding whitespace is part of the name: without it, the path would be that of another directory.
    value = os.environ.get("DATA_DIR") or Path(__file__).resolve().parent.parent / "data"
    try:
        folder = Path(value).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ImproperlyConfigured(f"DATA_DIR is {str(value)!r}, which is no folder: {error}.") from None
    if not env.is_printable(str(folder)):
        raise ImproperlyConfigured(
            f"The data folder is {str(folder)!r}; its name holds a line break or another control character. Rename it "
            "or choose another one: make run DATA_DIR=…"
        )
    _check_owner(folder)
    return folder


def _check_owner(folder: Path) -> None:
    """Refuse to run as root on the data directory of another account, which could not write to root's files.

    Raises:
        ImproperlyConfigured: This process runs as root and the directory belongs to another account.
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


def secret_key(folder: Path) -> str:
    """Return `SECRET_KEY`, by default a random key that is created once in the data directory (mode 600).

    All hosts that serve one site need the same `SECRET_KEY`.

    Raises:
        ImproperlyConfigured: The file of the key cannot be written or is empty.
    """
    value: str = env.read("SECRET_KEY")
    if value:
        return value
    path = folder / "secret_key"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create_key(path)
        key = path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The secret key cannot be kept in {path} ({error.strerror}). Make DATA_DIR writable or set SECRET_KEY."
        ) from error
    if not key:
        raise ImproperlyConfigured(
            f"The secret key in {path} is empty, as after a power cut. Put it back from a backup, or delete the file: "
            "then all users have to sign in again."
        )
    return key


def _create_key(path: Path) -> None:
    """Write a random key to `path`, unless another process does so first.

    The key is written to a temporary file and linked, so that of two processes that start at the same time, the second
    reads the whole key of the first.
    """
    import secrets  # loads OpenSSL, 4 MB that the supervisor does not need

    draft = path.with_name(f".secret_key.{secrets.token_hex(4)}")  # unique, as an interrupted start may leave a file
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
