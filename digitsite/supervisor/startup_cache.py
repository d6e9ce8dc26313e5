"""Cache that tells whether `manage.py prepare` can run after the start instead of before it.

It compares files only, because starting Django takes most of a second. Changes that it does not see, such as a database
restored from a backup, are found by the `manage.py prepare` that runs once the site answers.
"""

import os
import sys
import zlib
from pathlib import Path

from digitsite import env

from .options import Options
from .process import BASE_DIR

STATE_FILE = "prepared"
# Sources of tables and static files; the requirements stand for those of installed packages.
SOURCES = ("requirements-serve.txt", "digitsite/settings/*.py", "*/migrations/*.py", "*/static/**/*")


def is_current(options: Options) -> bool:
    """Return whether the last preparation used the same files and database, and its results still exist."""
    results = [options.data_dir / "static"]
    if not env.is_set("DATABASE_URL"):
        results.append(options.data_dir / "db.sqlite3")
    try:
        return (options.data_dir / STATE_FILE).read_text() == _state() and all(map(Path.exists, results))
    except OSError:
        return False


def forget(options: Options) -> None:
    """Invalidate the cache before a preparation, which may be interrupted."""
    (options.data_dir / STATE_FILE).unlink(missing_ok=True)


def remember(options: Options) -> None:
    """Save the state of the sources after a preparation."""
    (options.data_dir / STATE_FILE).write_text(_state())


def _state() -> str:
    files = sorted({path for pattern in SOURCES for path in BASE_DIR.glob(pattern) if path.is_file()})
    # A checksum, because the URL may contain a password.
    lines = [sys.version, f"{zlib.crc32(os.environ.get('DATABASE_URL', '').encode()):x}"]
    for path in files:
        stat = path.stat()
        lines.append(f"{path.relative_to(BASE_DIR)} {stat.st_size} {stat.st_mtime_ns}")
    return "\n".join(lines)
