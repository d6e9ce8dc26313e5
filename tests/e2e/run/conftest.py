"""Data directories for complete sites."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from digitsite.testing.site import BASE_DIR
from digitsite.testing.supervised import Supervised


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a migrated database and collected static files, to be copied; no user has signed in."""
    folder = tmp_path_factory.mktemp("prepared")
    environment = os.environ | {"DATA_DIR": str(folder)}
    subprocess.run([sys.executable, "manage.py", "prepare"], cwd=BASE_DIR, env=environment, check=True)
    return folder


@pytest.fixture
def folder(prepared_folder: Path, tmp_path: Path) -> Path:
    """A prepared data directory for one test."""
    copy = tmp_path / "data"
    shutil.copytree(prepared_folder, copy, copy_function=_link_static_files)
    return copy


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Supervised]]:
    """Factory for sites on `folder`; their processes are killed at the end of the test."""
    sites: list[Supervised] = []

    def start_site(**settings: str) -> Supervised:
        sites.append(Supervised(folder, **settings))
        return sites[-1]

    yield start_site
    for site in sites:
        site.__exit__(None, None, None)


def _link_static_files(source: str, target: str) -> None:
    if f"{os.sep}static{os.sep}" in source:
        os.link(source, target)
    else:
        shutil.copy2(source, target)
