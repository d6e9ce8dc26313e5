"""Fixtures with folders and databases that really cannot be written."""

import codecs
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

# An account without files, for tests that run as root, which may write everything.
ORDINARY_ACCOUNT = 65534


@contextmanager
def _as_ordinary_account() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    # zipfile needs this codec to open a serving bundle. Python remembers a codec that it could not import.
    codecs.lookup("cp437")
    os.seteuid(ORDINARY_ACCOUNT)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def ordinary_account() -> Callable[[], AbstractContextManager[None]]:
    """A context in which this process is not root; without effect for other accounts."""
    return _as_ordinary_account


@pytest.fixture
def anonymous_client(db: None) -> Client:
    """A client that has loaded everything that another account could not read, such as modules."""
    client = Client(HTTP_HOST="localhost", raise_request_exception=False)
    client.get("/readyz")
    client.get("/upload/")
    client.post("/api/v1/submissions", "{}", content_type="application/json")
    client.post("/account/data/download/").close()
    return client


@pytest.fixture
def media_left_by_root(settings: Any) -> Iterator[Path]:
    """The image folder of an ordinary account; every eighth of its 256 folders belongs to root."""
    media = Path(tempfile.mkdtemp(prefix="media-"))  # accessible to every account, unlike pytest's folders
    folders = [media / "pictures" / f"{number:02x}" for number in range(256)]
    for folder in folders:
        folder.mkdir(parents=True)
    for folder in [media, media / "pictures", *folders]:
        folder.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(folder, ORDINARY_ACCOUNT, ORDINARY_ACCOUNT)
    for folder in folders[::8]:
        folder.chmod(0o555)
        if os.geteuid() == 0:
            os.chown(folder, 0, 0)
    settings.MEDIA_ROOT = settings.DATA_DIR = media
    yield media
    for folder in folders:
        folder.chmod(0o755)
    shutil.rmtree(media)
