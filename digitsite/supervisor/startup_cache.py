"""Is there anything to prepare before the start? Told by the files alone, for asking Django costs most of a second.

What it cannot see, such as a database put back from a backup, is found by the `manage.py prepare` that follows as soon
as the site answers.
"""

import sys
import zlib
from pathlib import Path

from digitsite import env

from .options import Options
from .process import BASE_DIR

STATE_FILE = "prepared"
# What tables and static files are made from; the requirements stand for what installed packages bring along.
SOURCES = ("requirements-serve.txt", "digitsite/settings/*.py", "*/migrations/*.py", "*/static/**/*")


def is_current(options: Options) -> bool:
    """Whether the last preparation saw exactly these files and this database, and what it made is still there."""
    made = [options.data_dir / "static"]
    if not env.text("DATABASE_URL"):
        made.append(options.data_dir / "db.sqlite3")
    try:
        return (options.data_dir / STATE_FILE).read_text() == _state() and all(map(Path.exists, made))
    except OSError:
        return False


def forget(options: Options) -> None:
    """Before a preparation: stopped half-way, and then with the old files again, it would be taken for done."""
    (options.data_dir / STATE_FILE).unlink(missing_ok=True)


def remember(options: Options) -> None:
    (options.data_dir / STATE_FILE).write_text(_state())


def _state() -> str:
    files = sorted({path for pattern in SOURCES for path in BASE_DIR.glob(pattern) if path.is_file()})
    # Not the address itself: it may hold a password.
    lines = [sys.version, f"{zlib.crc32(env.text('DATABASE_URL').encode()):x}"]
    for path in files:
        stat = path.stat()
        lines.append(f"{path.relative_to(BASE_DIR)} {stat.st_size} {stat.st_mtime_ns}")
    return "\n".join(lines)
