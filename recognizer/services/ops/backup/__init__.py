"""Backups of the whole site in one file, made while the site runs, and restoring them.

An archive is an uncompressed tar file:

    database/…       SQLite: db.sqlite3, a consistent copy. PostgreSQL: one file per table, from one snapshot
    media/…          all images that the rows reference
    secret_key       only if the site generated it; a key from the environment variable SECRET_KEY is not included
    manifest.json    contents with sizes and SHA-256; the last member, so that truncated archives have none

Models are rows, and therefore included. An archive allows signing as the site and reading all images: protect it like a
password. Used by `manage.py backup` and `manage.py restore`; see docs/how-to/back-up-and-restore.md.
"""

from .archive import Manifest, verify
from .create import create_backup
from .errors import BackupError
from .restore import restore

__all__ = ["BackupError", "Manifest", "create_backup", "restore", "verify"]
