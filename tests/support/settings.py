"""Import of the settings as a new process would read them."""

import importlib
import sys

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
