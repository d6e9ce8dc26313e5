"""Backups: the whole site in one file, taken while it runs; and putting one back.

An archive is a plain tar:

    database/…       SQLite: db.sqlite3, a copy of one moment. PostgreSQL: one file a table, of one snapshot
    media/…          every picture that a row of that moment names
    secret_key       if the site made it for itself; who gave SECRET_KEY keeps it where it came from
    manifest.json    last, so an archive that was cut off has none: what is in it, with sizes and sha256

The models are rows, so they are in it too. Who has an archive can sign as the site and read every picture: keep it like
a password. `manage.py backup` and `restore` call this; docs/operations.md says how to use them.
"""

from .archive import Manifest, verify
from .create import create_backup
from .errors import BackupError
from .restore import restore

__all__ = ["BackupError", "Manifest", "create_backup", "restore", "verify"]
