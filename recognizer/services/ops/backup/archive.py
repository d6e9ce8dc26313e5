"""Archive format of backups: a tar file whose last member is a manifest of the others."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import tarfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

from recognizer.services.lib import fsync

from .errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = 1
MANIFEST, SECRET_KEY = "manifest.json", "secret_key"
DATABASE, MEDIA = "database/", "media/"
CHUNK = 1024 * 1024


class Table(TypedDict):
    """Number of rows of a table and, for PostgreSQL, its columns."""

    rows: int
    columns: NotRequired[list[str]]


class Member(TypedDict):
    """Size and SHA-256 of an archive member."""

    bytes: int
    sha256: str


@dataclass
class Manifest:
    """Contents of an archive.

    Attributes:
        engine: "sqlite" or "postgresql".
        made: Time of the backup in ISO 8601, UTC.
        migrations: Applied migrations as "app.name".
        live_model: Number and bundle SHA-256 of the live version, or None.
        tables: Tables by name.
        members: Members of `database/` and the secret key, by name.
        pictures: Number of images.
        deleted: Ids of submissions that were deleted with their images while the backup was made.
        missing: Images that a row references and that do not exist.
        format: Version of the archive format.
    """

    engine: str
    made: str
    migrations: list[str]
    live_model: list[Any] | None
    tables: dict[str, Table]
    members: dict[str, Member] = field(default_factory=dict)
    pictures: int = 0
    deleted: list[int] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    format: int = FORMAT

    @property
    def rows(self) -> int:
        """Number of rows of all tables."""
        return sum(table["rows"] for table in self.tables.values())


class Writer:
    """Adds members to an archive. Images are only counted, because their names are their SHA-256."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members: dict[str, Member] = {}
        self._pictures = 0

    def add(self, name: str, file: io.BufferedReader | io.BytesIO, size: int) -> None:
        """Add a member of `size` bytes."""
        self._members[name] = {"bytes": size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
        file.seek(0)
        self._tar.addfile(_entry(name, size), file)

    def add_image(self, name: str, data: bytes) -> None:
        """Add an image."""
        self._tar.addfile(_entry(MEDIA + name, len(data)), io.BytesIO(data))
        self._pictures += 1

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, with what was added before."""
        manifest.members, manifest.pictures = self._members, self._pictures
        body = json.dumps(asdict(manifest), indent=1).encode()
        self._tar.addfile(_entry(MANIFEST, len(body)), io.BytesIO(body))


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Write an archive atomically, readable by this account only. It is synced to disk before it gets its name.

    Args:
        path: The new file. `Writer.finish` has to be called at the end.

    Raises:
        BackupError: The file exists or cannot be written.
    """
    if path.exists():
        raise BackupError(f"{path} exists already. Choose another name; a backup replaces nothing.")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield Writer(tar)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, never replaces a file that was created since
        fsync.sync_files([str(path.parent)])  # a new file may otherwise lose its name in a power failure
    except FileExistsError:
        raise BackupError(f"{path} was created by another process. Choose another name.") from None
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        draft.unlink(missing_ok=True)


def verify(path: Path) -> Manifest:
    """Read an archive completely, and compare it with its manifest.

    Raises:
        BackupError: The file cannot be read, is not a backup, or is truncated or damaged.
    """
    actual: dict[str, Member] = {}
    pictures, body = 0, None
    for name, file, size in members(path):
        with _translate_errors(path):
            if name == MANIFEST:
                body = file.read()
                continue
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not name.startswith(MEDIA):
            actual[name] = {"bytes": size, "sha256": sha256}
        elif sha256 == PurePosixPath(name).stem:
            pictures += 1
        else:
            raise BackupError(f"{path} is damaged: {name} is not what its name says. Take another backup.")
    manifest = _parse_manifest(path, body)
    if actual != manifest.members or pictures != manifest.pictures:
        names = {*actual, *manifest.members}
        differing = sorted(name for name in names if actual.get(name) != manifest.members.get(name))
        difference = ", ".join(differing) or f"{pictures} pictures instead of {manifest.pictures}"
        raise BackupError(f"{path} is damaged: {difference}. Take another backup.")
    return manifest


def members(path: Path) -> Iterator[tuple[str, io.BufferedReader, int]]:
    """Yield name, content and size in bytes of each member.

    Raises:
        BackupError: The file cannot be read, or has a member that does not belong in a backup.
    """
    with _translate_errors(path), tarfile.open(path, "r:") as tar:
        for entry in tar:
            file = tar.extractfile(entry) if entry.isreg() else None
            if file is None or not _is_valid_name(entry.name):
                raise BackupError(f"{path} is no backup of this site: it holds {entry.name!r}.")
            yield entry.name, cast("io.BufferedReader", file), entry.size


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Convert errors of reading an archive to BackupError."""
    try:
        yield
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"{path} is no backup, or it was cut off or damaged: {error}.") from error
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror or error}.") from error


def _is_valid_name(name: str) -> bool:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name:
        return False
    return name in (MANIFEST, SECRET_KEY) or name.startswith((DATABASE, MEDIA))


def _parse_manifest(path: Path, body: bytes | None) -> Manifest:
    if body is None:
        raise BackupError(f"{path} was cut off: its end, which says what is in it, is missing. Take another backup.")
    try:
        content = json.loads(body)
        if content["format"] != FORMAT:
            raise BackupError(f"{path} is of format {content['format']}; this code reads {FORMAT}. Use newer code.")
        return Manifest(**{column.name: content[column.name] for column in fields(Manifest)})
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path} is damaged: its manifest makes no sense ({error}).") from error


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry
