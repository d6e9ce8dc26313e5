"""Collects static files only if one of them has changed, because hashing and compressing takes seconds."""

import hashlib
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

# `collectstatic` writes this file last (django.contrib.staticfiles.storage.ManifestFilesMixin).
MANIFEST = "staticfiles.json"


def has_changed() -> bool:
    """Return whether a source file has changed since the last complete collection."""
    fingerprint = _fingerprint_file()
    if not fingerprint.exists() or not Path(settings.STATIC_ROOT, MANIFEST).exists():
        return True
    return fingerprint.read_text() != _fingerprint()


def collect() -> None:
    """Collect all static files."""
    fingerprint = _fingerprint()
    # Removed first, so that an interrupted collection is not mistaken for a complete one.
    _fingerprint_file().unlink(missing_ok=True)
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    _fingerprint_file().write_text(fingerprint)


def _fingerprint_file() -> Path:
    return Path(settings.STATIC_ROOT).with_name("static.fingerprint")


def _fingerprint() -> str:
    """Hash name, size and modification time of every source file, and the storage backend."""
    lines = [settings.STORAGES["staticfiles"]["BACKEND"]]
    for finder in get_finders():
        for name, storage in finder.list([]):
            stat = Path(storage.path(name)).stat()
            lines.append(f"{name} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
