"""Import of the settings as a new process would read them."""

import importlib
import sys
from pathlib import Path

import pytest

import digitsite


def import_settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Import `digitsite.settings` with the current environment, as a start of the site does.

    The modules of the running tests are put back when the test ends.
    """
    import digitsite.settings as imported

    monkeypatch.setattr(digitsite, "settings", imported)
    for name in [name for name in sys.modules if name.partition("digitsite.settings")[1]]:
        monkeypatch.delitem(sys.modules, name)
    return vars(importlib.import_module("digitsite.settings"))


def read_settings(monkeypatch: pytest.MonkeyPatch, folder: Path, environ: dict[str, str]) -> dict:
    """Import the settings with these environment variables."""
    for name in ("ALLOWED_HOSTS", "HTTPS", "HOST", "DEBUG", "SECRET_KEY", "DATABASE_URL", "REDIS_URL", "METRICS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("BEHIND_PROXY", "TRUSTED_PROXIES", "HSTS_SECONDS", "HSTS_INCLUDE_SUBDOMAINS", "HSTS_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (environ | {"DATA_DIR": str(folder)}).items():
        monkeypatch.setenv(name, value)
    return import_settings(monkeypatch)
