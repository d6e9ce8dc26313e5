"""Putting a backup back: the archive is read whole and found well before anything is touched."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import redis
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
from recognizer.services.inference import handoff
from recognizer.services.ops import consistency
from recognizer.services.registry import versions
from recognizer.services.submissions.bulk_delete import delete_submissions

from . import archive
from .archive import CHUNK, DATABASE, MEDIA, Manifest
from .errors import BackupError
from .snapshots import SQLITE_MEMBER

SUPERVISOR_LOCK = "supervisor.lock"
# What was there before, beside what was put in its place.
ASIDE = ".before-restore"


def restore(path: Path, *, replace: bool = False) -> Manifest:
    """Make this site what it was when the backup `path` was made.

    Args:
        replace: do so although there is something in it, which is lost; SQLite's file is kept beside the new one.

    Raises:
        BackupError: nothing was changed, but that pictures may have been added, which the hourly sweep takes again.
    """
    manifest = archive.verify(path)
    _check_fits(manifest)
    with _site_stands_still():
        if not replace and not _is_empty():
            raise BackupError(
                "This site holds submissions, accounts or models of its own. Restore into an empty one, or add "
                "--replace to lose what is here."
            )
        _add_pictures(path)
        try:
            if connection.vendor == "sqlite":
                _into_sqlite(path, manifest, keep=replace)
            else:
                _into_postgresql(path, manifest)
        except DatabaseError as error:
            raise BackupError(f"The database did not take the rows: {error}") from error
        _put_back_secret_key(path)
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
def _site_stands_still() -> Iterator[None]:
    """No process of this site writes meanwhile, as far as it can be known; and `make run` starts none."""
    settings.DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.DATA_DIR / SUPERVISOR_LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError("The site is running on this data folder. Stop it first.") from None
        if _a_worker_lives():
            raise BackupError("A prediction worker of this site is running. Stop all of its processes first.")
        yield


def _a_worker_lives() -> bool:
    try:
        return handoff.link().worker_alive()
    except (redis.RedisError, OSError):  # the embedded one ended with its site
        return False


def _is_empty() -> bool:
    with connection.cursor() as cursor:
        if Submission._meta.db_table not in connection.introspection.table_names(cursor):  # noqa: SLF001 - public
            return True
    # The first start makes an operator's account; it counts once somebody has signed in.
    used = User.objects.filter(last_login__isnull=False)
    return not (Submission.objects.exists() or used.exists() or ModelVersion.objects.count() > 1)


def _add_pictures(path: Path) -> None:
    """Under the names that they had, which follow from what they are: what is there whole already stays."""
    for member, file, _ in archive.members(path):
        name = member.removeprefix(MEDIA)
        if member.startswith(MEDIA) and not _is_there(name, data := file.read()):
            default_storage.save(name, ContentFile(data))


def _is_there(name: str, data: bytes) -> bool:
    """Whether the file holds just that: what the disk has damaged is why somebody restores."""
    try:
        with default_storage.open(name) as file:
            return file.read() == data
    except OSError:  # missing, or on a bad spot of the disk
        return False


def _check(manifest: Manifest) -> None:
    """The rows are those of the backup; then up to date, and without what was deleted while it was made."""
    for name, table in manifest.tables.items():
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT count(*) FROM "{name}"')  # noqa: S608 - from a verified archive of ours
            count = cursor.fetchone()[0]
        if count != table["rows"]:
            raise BackupError(f"{name} has {count} rows instead of {table['rows']}.")
    call_command("migrate", verbosity=0, interactive=False)
    delete_submissions(Submission.objects.filter(pk__in=manifest.deleted))
    found = [one for one in consistency.check().findings if not one.is_harmless]
    found = [one for one in found if one.where not in manifest.missing]
    if found:
        raise BackupError(f"What was restored is not whole: {found[0]}, and {len(found) - 1} more.")
    if manifest.live_model is not None:
        live = versions.live_version()
        if [live.number, live.bundle_sha256] != manifest.live_model:
            raise BackupError(f"Version {live.number} would be live instead of {manifest.live_model[0]}.")


# --- SQLite --------------------------------------------------------------------------------------------------------


def _into_sqlite(path: Path, manifest: Manifest, *, keep: bool) -> None:
    """The file is exchanged, and exchanged back if what is in it is not what it should be.

    Whenever this is killed, a whole database stands in the file's place: the old one or the new one.

    Args:
        keep: the old one, beside the new one.
    """
    target = Path(connection.settings_dict["NAME"])
    draft = target.with_name(target.name + ".restoring")
    _extract(path, SQLITE_MEMBER, draft)
    _write_log_back()
    old = _files(target)
    for file in old:
        _aside(file).unlink(missing_ok=True)
        if file == target:
            os.link(file, _aside(file))
        else:  # a log that could not be written back, because the file is damaged
            file.replace(_aside(file))
    try:
        draft.replace(target)
        _check(manifest)
    except BaseException:
        connection.close()
        for file in _files(target):
            file.unlink()
        for file in old:
            _aside(file).replace(file)
        raise
    if not keep:
        for file in old:
            _aside(file).unlink()


def _write_log_back() -> None:
    """Into the file, which then is the whole database. One that is damaged may refuse; it is kept as it is."""
    with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _files(database: Path) -> list[Path]:
    """The file with its write-ahead log, which belongs to it."""
    return [file for end in ("", "-wal", "-shm") if (file := database.with_name(database.name + end)).exists()]


def _aside(file: Path) -> Path:
    for end in ("-wal", "-shm"):
        if file.name.endswith(end):
            return file.with_name(file.name.removesuffix(end) + ASIDE + end)
    return file.with_name(file.name + ASIDE)


def _extract(path: Path, wanted: str, target: Path) -> None:
    for name, file, _ in archive.members(path):
        if name == wanted:
            with os.fdopen(os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as output:
                shutil.copyfileobj(file, output, CHUNK)
                output.flush()
                os.fsync(output.fileno())
            return
    raise BackupError(f"{path} holds no {wanted}.")


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


@transaction.atomic
def _into_postgresql(path: Path, manifest: Manifest) -> None:
    """All in one transaction: either the backup's rows or those of before."""
    with connection.cursor() as cursor:
        for name in connection.introspection.table_names(cursor):
            cursor.execute(f'DROP TABLE "{name}" CASCADE')
    executor = MigrationExecutor(connection)
    executor.migrate(_newest(executor, manifest.migrations))
    connection.check_constraints()  # nothing may be left for the end of the transaction when tables are emptied
    with connection.cursor() as cursor:
        there = connection.introspection.table_names(cursor)
        if set(there) != set(manifest.tables):
            raise BackupError(f"The backup's tables are others than this code's: {set(there) ^ set(manifest.tables)}.")
        cursor.execute(f"TRUNCATE {', '.join(map(_quoted, there))} CASCADE")
    for member, file, _ in archive.members(path):
        if member.startswith(DATABASE):
            name = member.removeprefix(DATABASE)
            columns = ", ".join(map(_quoted, manifest.tables[name]["columns"]))
            with (
                connection.connection.cursor() as cursor,
                cursor.copy(f"COPY {_quoted(name)} ({columns}) FROM STDIN") as rows,
            ):
                while data := file.read(CHUNK):
                    rows.write(data)
    connection.check_constraints()
    with connection.cursor() as cursor:
        # The tables are those of the backup's release; newer ones are made by `_check` and begin at 1.
        models = [one for one in apps.get_models(include_auto_created=True) if one._meta.db_table in there]  # noqa: SLF001
        for query in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(query)
    _check(manifest)


def _newest(executor: MigrationExecutor, applied: list[str]) -> list[tuple[str, str]]:
    """The last of the applied migrations of each app: where the tables were when the backup was made."""
    graph = executor.loader.graph
    nodes = {node for name in applied if (node := tuple(name.split(".", 1))) in graph.nodes}

    def goes_on(node: tuple[str, str]) -> bool:
        return any(child.key in nodes and child.key[0] == node[0] for child in graph.node_map[node].children)

    return sorted(node for node in nodes if not goes_on(node))


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)


# --- The secret key ------------------------------------------------------------------------------------------------


def _put_back_secret_key(path: Path) -> None:
    """Cookies and links of the old site go on being valid. Who sets SECRET_KEY sets it to the old one by themselves."""
    if os.environ.get("SECRET_KEY"):
        return
    with contextlib.suppress(BackupError):  # a site that was given its key has none in the backup
        draft = settings.DATA_DIR / f"{archive.SECRET_KEY}.restoring"
        _extract(path, archive.SECRET_KEY, draft)
        draft.replace(settings.DATA_DIR / archive.SECRET_KEY)
