"""What was deleted cannot be read out of the files of an SQLite database."""

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

MARK = b"a mark that stands nowhere else"


def files_with_the_mark(site: Site) -> list[str]:
    return [path.name for path in site.folder.glob("db.sqlite3*") if MARK in path.read_bytes()]


def test_secure_delete_is_on_whatever_sqlite_was_built_with():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute("PRAGMA secure_delete=OFF")
        database.executescript(settings.DATABASES["default"]["OPTIONS"]["init_command"])
        assert database.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_a_deleted_row_is_in_no_file_once_the_log_was_emptied(site: Site):
    with site.entered():
        make_submission(failure=MARK.decode())
        assert files_with_the_mark(site)
        bulk_delete.delete_submissions(Submission.objects.all())
        assert fsync.empty_write_ahead_log()
        assert files_with_the_mark(site) == []
        assert (site.folder / "db.sqlite3-wal").stat().st_size == 0


def test_while_somebody_reads_the_log_stays_and_nobody_waits(site: Site):
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
