"""Creation of a backup while the site runs."""

import io
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection
from django.utils import timezone

from recognizer.models import Submission

from . import archive, snapshots
from .archive import Manifest
from .errors import BackupError

log = logging.getLogger(__name__)


def create_backup(path: Path) -> Manifest:
    """Write a backup of the site to `path`.

    The site keeps running. The rows are from one snapshot. Images are read after it; if one is deleted in between, the
    restore deletes its submission too.

    Args:
        path: The new file.

    Returns:
        The manifest of the archive.

    Raises:
        BackupError: The file exists, cannot be written, or the database cannot be read.
    """
    try:
        with archive.writing(path) as writer:
            with (
                tempfile.TemporaryDirectory(prefix=".backup-", dir=path.resolve().parent) as folder,
                snapshots.take_snapshot(Path(folder)) as snapshot,
            ):
                manifest = _describe(snapshot)
                for name, file in snapshot.files():
                    with file.open("rb") as content:
                        writer.add(name, content, file.stat().st_size)
                missing = _add_images(writer, snapshot)
            _add_secret_key(writer)
            _record_missing(manifest, missing)
            writer.finish(manifest)
    except DatabaseError as error:
        raise BackupError(f"The database cannot be read: {error}") from error
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror or error}.") from error
    if manifest.missing:
        log.error("%d images are missing; `manage.py sanity` lists them", len(manifest.missing))
    return manifest


def _describe(snapshot: snapshots.Snapshot) -> Manifest:
    live = snapshot.rows(
        "SELECT v.number, v.bundle_sha256 FROM recognizer_deployment d JOIN recognizer_modelversion v"
        " ON v.id = d.to_version_id ORDER BY d.sequence DESC LIMIT 1"
    )
    migrations = snapshot.rows("SELECT app, name FROM django_migrations ORDER BY app, name")
    return Manifest(
        engine=connection.vendor,
        made=timezone.now().isoformat(timespec="seconds"),
        migrations=sorted({f"{app}.{name}" for app, name in migrations}),
        live_model=list(live[0]) if live else None,
        tables=snapshot.tables(),
    )


def _add_images(writer: archive.Writer, snapshot: snapshots.Snapshot) -> dict[str, set[int]]:
    """Add all images; return the names of those that do not exist, with the ids of their submissions."""
    missing = {}
    for (name,) in snapshot.rows("SELECT DISTINCT picture FROM recognizer_submission ORDER BY picture"):
        try:
            with default_storage.open(name) as file:
                writer.add_image(name, file.read())
        except FileNotFoundError:
            rows = snapshot.rows("SELECT id FROM recognizer_submission WHERE picture = %s", [name])
            missing[name] = {pk for (pk,) in rows}
    return missing


def _record_missing(manifest: Manifest, missing: Mapping[str, set[int]]) -> None:
    """Distinguish images that were deleted with their submissions since the snapshot from those that are lost."""
    for name, ids in missing.items():
        existing = set(Submission.objects.filter(pk__in=ids).values_list("pk", flat=True))
        manifest.deleted += sorted(ids - existing)
        manifest.missing += [name] if existing else []


def _add_secret_key(writer: archive.Writer) -> None:
    file = settings.DATA_DIR / archive.SECRET_KEY
    if file.exists() and file.read_text().strip() == settings.SECRET_KEY:
        data = settings.SECRET_KEY.encode()
        writer.add(archive.SECRET_KEY, io.BytesIO(data), len(data))
