"""The file itself: a tar whose last member says what the others must be."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import IO

from .errors import BackupError

FORMAT = 1
MANIFEST, SECRET_KEY = "manifest.json", "secret_key"
DATABASE, MEDIA = "database/", "media/"
CHUNK = 1024 * 1024


@dataclass
class Manifest:
    """What an archive holds.

    Attributes:
        engine: "sqlite" or "postgresql".
        made: when, in ISO 8601, UTC.
        migrations: what had been applied, as "app.name".
        live_model: number and bundle sha256 of the live version; None where there was none.
        tables: for each table its rows and, in PostgreSQL's case, its columns.
        members: for each member of `database/` and the secret key its size and sha256.
        pictures: how many.
        deleted: ids of submissions that were deleted, picture and all, while the backup was made.
        missing: pictures that a row names and that were not there.
    """

    engine: str
    made: str
    migrations: list[str]
    live_model: list | None
    tables: dict[str, dict]
    members: dict[str, dict] = field(default_factory=dict)
    pictures: int = 0
    deleted: list[int] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    format: int = FORMAT

    @property
    def rows(self) -> int:
        return sum(table["rows"] for table in self.tables.values())


class Writer:
    """Adds members; each has its size and sha256 noted, but pictures, whose name is their sha256."""

    def __init__(self, tar: tarfile.TarFile, manifest: Manifest) -> None:
        self._tar, self.manifest = tar, manifest

    def add(self, name: str, file: IO[bytes], size: int) -> None:
        hashing = _Hashing(file)
        self._tar.addfile(_entry(name, size), hashing)
        self.manifest.members[name] = {"bytes": size, "sha256": hashing.sha256.hexdigest()}

    def add_picture(self, name: str, data: bytes) -> None:
        self._tar.addfile(_entry(MEDIA + name, len(data)), io.BytesIO(data))
        self.manifest.pictures += 1


@contextmanager
def writing(path: Path, manifest: Manifest) -> Iterator[Writer]:
    """Write an archive; it appears under its name whole, on the disk and readable by this account alone, or not at all.

    Raises:
        BackupError: there is something of that name, or it cannot be written.
    """
    if path.exists():
        raise BackupError(f"{path} exists already. Choose another name; a backup replaces nothing.")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield Writer(tar, manifest)
                body = json.dumps(asdict(manifest), indent=1).encode()
                tar.addfile(_entry(MANIFEST, len(body)), io.BytesIO(body))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, it never replaces what somebody else has put there meanwhile
        _sync_folder(path.parent)
    except FileExistsError:
        raise BackupError(f"{path} came into being meanwhile. Choose another name.") from None
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, or a power cut may take a new file away whose content is there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def verify(path: Path) -> Manifest:
    """Read all of an archive and compare it with what it says of itself.

    Raises:
        BackupError: it cannot be read, is no backup, was cut off or damaged.
    """
    seen: dict[str, dict] = {}
    pictures, body = 0, None
    for name, file, size in members(path):
        digest = hashlib.sha256()
        with _explaining(path):
            if name == MANIFEST:
                body = file.read()
                continue
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        if name.startswith(MEDIA):
            pictures += 1
            if digest.hexdigest() != PurePosixPath(name).stem:
                raise BackupError(f"{path} is damaged: {name} is not what its name says. Take another backup.")
        else:
            seen[name] = {"bytes": size, "sha256": digest.hexdigest()}
    manifest = _manifest(path, body)
    if seen != manifest.members or pictures != manifest.pictures:
        wrong = sorted(name for name in {*seen, *manifest.members} if seen.get(name) != manifest.members.get(name))
        what = ", ".join(wrong) or f"{pictures} pictures instead of {manifest.pictures}"
        raise BackupError(f"{path} is damaged: {what}. Take another backup.")
    return manifest


def members(path: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    """Name, content and size of each member in turn.

    Raises:
        BackupError: the file cannot be read, or holds what no backup of ours does.
    """
    with _explaining(path), tarfile.open(path, "r:") as tar:
        for entry in tar:
            file = tar.extractfile(entry) if entry.isreg() else None
            if file is None or not _is_ours(entry.name):
                raise BackupError(f"{path} is no backup of this site: it holds {entry.name!r}.")
            yield entry.name, file, entry.size


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    """What reading an archive may raise, as a BackupError."""
    try:
        yield
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"{path} is no backup, or it was cut off or damaged: {error}.") from error
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror or error}.") from error


def _is_ours(name: str) -> bool:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name:
        return False
    return name in (MANIFEST, SECRET_KEY) or name.startswith((DATABASE, MEDIA))


def _manifest(path: Path, body: bytes | None) -> Manifest:
    if body is None:
        raise BackupError(f"{path} was cut off: its end, which says what is in it, is missing. Take another backup.")
    try:
        given = json.loads(body)
        if given["format"] != FORMAT:
            raise BackupError(f"{path} is of format {given['format']}; this code reads {FORMAT}. Use newer code.")
        return Manifest(**{one.name: given[one.name] for one in fields(Manifest)})
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path} is damaged: its manifest makes no sense ({error}).") from error


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


class _Hashing(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.sha256 = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data
