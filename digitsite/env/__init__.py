"""Settings in environment variables: reading, validation and the settings reference.

`table.SETTINGS` describes every setting. `read` never fails: an invalid value is reported by `find_errors`, which each
start of the site calls (digitsite/checks.py and the supervisor). `python -m digitsite.env` prints the reference.
"""

import os
from collections.abc import Mapping
from typing import Any

from .kinds import HOST, SQLITE, InvalidValueError, is_printable
from .table import SETTINGS, Setting

__all__ = [
    "HOST", "SETTINGS", "SQLITE", "Setting", "deprecation_warnings", "find_errors", "is_printable",
    "is_set", "public_names", "read", "with_current_names",
]  # fmt: skip

# Settings of release 0.9.0 that have no effect any more.
REMOVED_NAMES = ("SHIFT_SECONDS", "SHIFT_IDLE_SECONDS")
# Old name -> new name.
DEPRECATED_NAMES = {setting.old_name: setting.name for setting in SETTINGS.values() if setting.old_name}


def read(name: str) -> Any:
    """Return the value of a setting; its default if the value is invalid."""
    setting = SETTINGS[name]
    try:
        return _parse(setting)
    except InvalidValueError:
        return setting.kind.parse(setting.default)


def is_set(name: str) -> bool:
    """Return whether a setting is set to more than whitespace."""
    return bool(os.environ.get(name, "").strip())


def find_errors() -> list[str]:
    """Return one line for each setting with an invalid value."""
    errors = []
    for setting in SETTINGS.values():
        try:
            _parse(setting)
        except InvalidValueError as error:
            errors.append(f"{setting.name} {error}")
    return errors


def _parse(setting: Setting) -> Any:
    raw = os.environ.get(setting.name)
    raw = raw or os.environ.get(setting.old_name, raw)
    if raw is None or not (raw.strip() or setting.kind.has_empty_value):
        return setting.kind.parse(setting.default)
    if not is_printable(raw.strip()):
        raise InvalidValueError("holds a line break or another control character.")
    return setting.kind.parse(raw.strip())


def deprecation_warnings() -> list[str]:
    """Return one line for each deprecated or removed name that is set."""
    removed = [f"setting_removed: {name} has no effect; unset it" for name in REMOVED_NAMES if os.environ.get(name)]
    return removed + [
        f"setting_deprecated: {old} is now called {new}; "
        + (f"{old} is ignored because both are set" if os.environ.get(new) else "the old name works until release 2.0")
        for old, new in DEPRECATED_NAMES.items()
        if os.environ.get(old)
    ]


def with_current_names(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with deprecated names replaced by the current ones."""
    renamed = {DEPRECATED_NAMES[name]: value for name, value in environ.items() if name in DEPRECATED_NAMES}
    current = {name: value for name, value in environ.items() if name not in DEPRECATED_NAMES}
    return current | {name: value for name, value in renamed.items() if not current.get(name)}


# RFC 6761 (https://www.rfc-editor.org/rfc/rfc6761), RFC 6762, RFC 8375, and endings in use by routers and companies.
LOCAL_ENDINGS = (".localhost", ".local", ".lan", ".internal", ".intranet", ".home", ".home.arpa", ".test", ".invalid")


def public_names(hosts: list[str]) -> list[str]:
    """Return the hosts that the public DNS may resolve: no IP addresses and no names of local networks."""
    return [host for host in hosts if "." in host and not _is_local(host.strip(".").lower())]


def _is_local(host: str) -> bool:
    is_address = host.startswith("[") or host.replace(".", "").isdigit()  # rarely has a certificate
    return is_address or host.endswith(LOCAL_ENDINGS)
