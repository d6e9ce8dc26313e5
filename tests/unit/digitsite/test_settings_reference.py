"""The settings reference matches the table of settings, and the table matches the code."""

import re
from pathlib import Path

import pytest

from digitsite import env
from digitsite.env import __main__ as reference
from digitsite.testing.site import BASE_DIR

# Read without Django: by the supervisor, the data directory and the training.
OTHER_NAMES = {"HOST", "PORT", "DATA_DIR", "SECRET_KEY", "MNIST_PATH", "MNIST_CACHE"}


def test_reference_page_is_the_output_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    reference.main()
    assert Path(BASE_DIR, "docs", "reference", "settings.md").read_text() == capsys.readouterr().out


def test_every_setting_in_the_table_is_read() -> None:
    files = Path(BASE_DIR, "digitsite", "settings").glob("*.py")
    names = {name for file in files for name in re.findall(r'env\.read\("([A-Z_]+)"\)', file.read_text())}
    assert names | OTHER_NAMES == set(env.SETTINGS)


def test_every_default_is_valid() -> None:
    for setting in env.SETTINGS.values():
        setting.kind.parse(setting.default)
