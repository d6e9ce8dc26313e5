"""Restoring a backup. The archive is verified completely before anything is changed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from recognizer.models import ModelVersion, Submission
from recognizer.services.inference import streams
from recognizer.services.ops import consistency
from recognizer.services.registry import versions
from recognizer.services.submissions.bulk_delete import delete_submissions

from . import archive
from .archive import CHUNK, DATABASE, MEDIA, Manifest
from .errors import BackupError
from .snapshots import SQLITE_MEMBER

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPERVISOR_LOCK = "supervisor.lock"
# Suffix of the previous database file.
PREVIOUS_SUFFIX = ".before-restore"


def restore(path: Path, *, replace: bool = False) -> Manifest:
    """Restore the site from a backup.

    Args:
        path: The archive.
        replace: Whether to replace existing data, which is lost, except that SQLite's file is kept next to the new one.

    Returns:
        The manifest of the archive.

    Raises:
        BackupError: The restore failed. Nothing was changed, except that images may have been added, which the hourly
            cleanup deletes.
    """
    manifest = archive.verify(path)
    _check_fits(manifest)
    with _require_stopped_site():
        if not replace and not _is_empty():
            raise BackupError(
                "This site holds submissions, accounts or models of its own. Restore into an empty one, or add "
                "--replace to lose what is here."
            )
        _restore_images(path)
        try:
            if connection.vendor == "sqlite":
                _restore_sqlite(path, manifest, keep=replace)
            else:
                _restore_postgresql(path, manifest)
        except DatabaseError as error:
            raise BackupError(f"The database did not take the rows: {error}") from error
        _restore_secret_key(path)
    return manifest


def _check_fits(manifest: Manifest) -> None:
    if manifest.engine != connection.vendor:
        raise BackupError(f"The backup is of {manifest.engine}, and DATABASE_URL leads to {connection.vendor}.")
    known = MigrationExecutor(None).loader.disk_migrations
    unknown = sorted(set(manifest.migrations) - {f"{app}.{name}" for app, name in known})
    unknown = [name for name in unknown if name.partition(".")[0] in apps.app_configs]
    if unknown:
        raise BackupError(f"The backup was made by newer code ({', '.join(unknown[:3])} …). Upgrade first.")


@contextlib.contextmanager
def _require_stopped_site() -> Iterator[None]:
    """Check that no process of the site is running, and prevent `make run` from starting one."""
    settings.DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.DATA_DIR / SUPERVISOR_LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError("The site is running on this data folder. Stop it first.") from None
        if streams.consumer_alive():  # not after the embedded Redis has stopped with the site
            raise BackupError("A prediction worker of this site is running. Stop all of its processes first.")
        yield


def _is_empty() -> bool:
    with connection.cursor() as cursor:
        if Submission._meta.db_table not in connection.introspection.table_names(cursor):  # noqa: SLF001 - public
            return True
    # The first start creates an operator account; an account counts once it has signed in.
    used_accounts = User.objects.filter(last_login__isnull=False)
    return not (Submission.objects.exists() or used_accounts.exists() or ModelVersion.objects.count() > 1)


def _restore_images(path: Path) -> None:
    """Save the images under their names, which depend on their content, unless they exist and are intact."""
    for member, file, _ in archive.members(path):
        name = member.removeprefix(MEDIA)
        if member.startswith(MEDIA) and consistency.image_sha256(name) != Path(name).stem:
            default_storage.save(name, ContentFile(file.read()))


def _migrate_and_check(manifest: Manifest) -> None:
    """Check the number of rows, migrate, delete submissions without images, and check the consistency."""
    for name, table in manifest.tables.items():
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT count(*) FROM "{name}"')  # noqa: S608 - from a verified archive
            count = cursor.fetchone()[0]
        if count != table["rows"]:
            raise BackupError(f"{name} has {count} rows instead of {table['rows']}.")
    call_command("migrate", verbosity=0, interactive=False)
    delete_submissions(Submission.objects.filter(pk__in=manifest.deleted))
    findings = [
        finding
        for finding in consistency.check().findings
        if not finding.is_harmless and finding.location not in manifest.missing
    ]
    if findings:
        raise BackupError(f"The restored site is inconsistent: {findings[0]}, and {len(findings) - 1} more.")
    if manifest.live_model is not None:
        live = versions.live_version()
        if [live.number, live.bundle_sha256] != manifest.live_model:
            raise BackupError(f"Version {live.number} would be live instead of {manifest.live_model[0]}.")


# --- SQLite --------------------------------------------------------------------------------------------------------


def _restore_sqlite(path: Path, manifest: Manifest, *, keep: bool) -> None:
    """Replace the database file, and put the previous one back if the checks fail.

    If this process is killed at any time, the file is a complete database: the previous one or the new one.

    Args:
        path: The archive.
        manifest: Its manifest.
        keep: Whether to keep the previous file next to the new one.
    """
    target = Path(connection.settings_dict["NAME"])
    draft = target.with_name(target.name + ".restoring")
    _extract(path, SQLITE_MEMBER, draft)
    _checkpoint_log()
    names = zip(_database_files(target), _database_files(target.with_name(target.name + PREVIOUS_SUFFIX)), strict=True)
    previous = {file: copy for file, copy in names if file.exists()}
    for file, copy in previous.items():
        copy.unlink(missing_ok=True)
        if file == target:
            os.link(file, copy)
        else:  # the log of a damaged file, which could not be checkpointed
            file.replace(copy)
    try:
        draft.replace(target)
        _migrate_and_check(manifest)
    except BaseException:
        connection.close()
        for file in _database_files(target):
            file.unlink(missing_ok=True)
        for file, copy in previous.items():
            copy.replace(file)
        raise
    if not keep:
        for copy in previous.values():
            copy.unlink()


def _checkpoint_log() -> None:
    """Move the write-ahead log into the database file. This may fail for a damaged file, which is kept as it is."""
    with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _database_files(database: Path) -> list[Path]:
    """Return the names of the database's files: the file itself, its write-ahead log and the index of the log."""
    return [database.with_name(database.name + end) for end in ("", "-wal", "-shm")]


def _extract(path: Path, member: str, target: Path) -> None:
    for name, file, _ in archive.members(path):
        if name == member:
            with os.fdopen(os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as output:
                shutil.copyfileobj(file, output, CHUNK)
                output.flush()
                os.fsync(output.fileno())
            return
    raise BackupError(f"{path} holds no {member}.")


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


@transaction.atomic
def _restore_postgresql(path: Path, manifest: Manifest) -> None:
    """Replace all tables in one transaction."""
    with connection.cursor() as cursor:
        for name in connection.introspection.table_names(cursor):
            cursor.execute(f'DROP TABLE "{name}" CASCADE')
    executor = MigrationExecutor(connection)
    executor.migrate(_latest_migrations(executor, manifest.migrations))
    connection.check_constraints()  # TRUNCATE fails while deferred constraint checks are pending
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        if set(tables) != set(manifest.tables):
            difference = set(tables) ^ set(manifest.tables)
            raise BackupError(f"The backup's tables are others than this code's: {difference}.")
        cursor.execute(f"TRUNCATE {', '.join(map(_quoted, tables))} CASCADE")
    for member, file, _ in archive.members(path):
        if member.startswith(DATABASE):
            name = member.removeprefix(DATABASE)
            columns = ", ".join(map(_quoted, manifest.tables[name].get("columns", ())))
            with (
                connection.connection.cursor() as cursor,
                cursor.copy(f"COPY {_quoted(name)} ({columns}) FROM STDIN") as rows,
            ):
                while data := file.read(CHUNK):
                    rows.write(data)
    connection.check_constraints()
    with connection.cursor() as cursor:
        # The tables are those of the backup's release; `_migrate_and_check` adds newer ones, which begin at 1.
        models = [
            model
            for model in apps.get_models(include_auto_created=True)
            if model._meta.db_table in tables  # noqa: SLF001 - public
        ]
        for query in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(query)
    _migrate_and_check(manifest)


def _latest_migrations(executor: MigrationExecutor, applied: list[str]) -> list[tuple[str, str]]:
    """Return the latest applied migration of each app, by its number. It defines the tables of the backup."""
    nodes = sorted((app, name) for app, _, name in (migration.partition(".") for migration in applied))
    return list({app: (app, name) for app, name in nodes if (app, name) in executor.loader.graph.nodes}.values())


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)


# --- The secret key ------------------------------------------------------------------------------------------------


def _restore_secret_key(path: Path) -> None:
    """Restore the secret key, so that cookies and links stay valid, unless the environment variable sets it."""
    if os.environ.get("SECRET_KEY"):
        return
    with contextlib.suppress(BackupError):  # the backup has no key if it came from the environment
        draft = settings.DATA_DIR / f"{archive.SECRET_KEY}.restoring"
        _extract(path, archive.SECRET_KEY, draft)
        draft.replace(settings.DATA_DIR / archive.SECRET_KEY)
