"""Secure deletion: deleted rows do not remain in the files of an SQLite database."""

import sqlite3
from contextlib import closing

import pytest
from django.conf import settings
from django.db import connection

from digitsite.testing.site import Site
from recognizer.models import Submission
from recognizer.services.lib import fsync
from recognizer.services.submissions import bulk_delete
from tests.factories import make_submission

pytestmark = pytest.mark.sqlite_only

MARKER = b"a marker that occurs nowhere else"


def files_with_the_marker(site: Site) -> list[str]:
    return [path.name for path in site.folder.glob("db.sqlite3*") if MARKER in path.read_bytes()]


def test_secure_delete_does_not_depend_on_the_build_of_sqlite():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute("PRAGMA secure_delete=OFF")
        database.executescript(settings.DATABASES["default"]["OPTIONS"]["init_command"])
        assert database.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_deleted_row_is_in_no_file_after_the_log_is_emptied(site: Site):
    with site.entered():
        make_submission(failure=MARKER.decode())
        assert files_with_the_marker(site)
        bulk_delete.delete_submissions(Submission.objects.all())
        assert fsync.empty_write_ahead_log()
        assert files_with_the_marker(site) == []
        assert (site.folder / "db.sqlite3-wal").stat().st_size == 0


def test_log_is_kept_during_a_read_and_writers_do_not_wait(site: Site):
    with site.entered():
        with closing(sqlite3.connect(site.folder / "db.sqlite3", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM recognizer_submission").fetchone()
            make_submission()
            assert not fsync.empty_write_ahead_log()
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            assert cursor.fetchone()[0] == settings.DATABASES["default"]["OPTIONS"]["timeout"] * 1000
        assert fsync.empty_write_ahead_log()
