"""Collects static files only when one of them changed: hashing and compressing them anew takes seconds."""

import hashlib
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

# Written last (django.contrib.staticfiles.storage.ManifestFilesMixin).
MANIFEST = "staticfiles.json"


def changed() -> bool:
    fingerprint = _fingerprint_file()
    if not fingerprint.exists() or not Path(settings.STATIC_ROOT, MANIFEST).exists():
        return True
    return fingerprint.read_text() != _fingerprint()


def collect() -> None:
    fingerprint = _fingerprint()
    # Stopped half-way, and then with the old sources again, it would be taken for done.
    _fingerprint_file().unlink(missing_ok=True)
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    _fingerprint_file().write_text(fingerprint)


def _fingerprint_file() -> Path:
    return Path(settings.STATIC_ROOT).with_name("static.fingerprint")


def _fingerprint() -> str:
    """Of every source file its name, size and time, and the storage that writes them."""
    lines = [settings.STORAGES["staticfiles"]["BACKEND"]]
    for finder in get_finders():
        for name, storage in finder.list([]):
            stat = Path(storage.path(name)).stat()
            lines.append(f"{name} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
