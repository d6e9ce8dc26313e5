"""Incomplete results of interrupted writes (Ctrl-C, full disk, power loss) are not used."""

import errno
import os
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from django.core.exceptions import ImproperlyConfigured

from digitsite.data_directory import secret_key
from digitsite.supervisor import options, startup_cache
from digitsite.testing.supervised import SETTINGS
from ml.data.mnist import write_arrays
from recognizer.management import static_files

ARRAYS = {"images": np.arange(4, dtype=np.uint8)}


@pytest.fixture
def static_root(settings, tmp_path: Path) -> Path:
    """Static files that were collected once."""
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STATIC_ROOT.mkdir()
    (settings.STATIC_ROOT / "staticfiles.json").touch()
    return settings.STATIC_ROOT


def test_interrupted_collection_of_static_files_is_repeated(static_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_files, "call_command", lambda *_arguments, **_options: None)
    static_files.collect()
    assert not static_files.has_changed()

    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(static_files, "call_command", interrupt)
    with pytest.raises(KeyboardInterrupt):
        static_files.collect()
    assert static_files.has_changed()  # although the sources are those of the first collection


def test_static_files_without_a_manifest_are_collected_again(
    static_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static_files, "call_command", lambda *_arguments, **_options: None)
    static_files.collect()
    (static_root / "staticfiles.json").unlink()
    assert static_files.has_changed()


def test_interrupted_preparation_is_repeated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PORT", "0")
    parsed = options.read()
    (tmp_path / "static").mkdir()
    (tmp_path / "db.sqlite3").touch()
    startup_cache.remember(parsed)
    assert startup_cache.is_current(parsed)
    startup_cache.forget(parsed)  # every preparation starts with this
    assert not startup_cache.is_current(parsed)


def test_empty_secret_key_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "secret_key").touch()
    with pytest.raises(ImproperlyConfigured, match="is empty, as after a power cut"):
        secret_key(tmp_path)


def test_leftover_draft_of_the_secret_key_is_ignored(tmp_path: Path) -> None:
    (tmp_path / f".secret_key.{os.getpid()}").touch()  # in a container the next start may have the same number
    assert len(secret_key(tmp_path)) == 64


def test_failed_write_of_arrays_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_arrays(ARRAYS, tmp_path / "whole.npz")

    def fill_the_disk(file: IO[bytes], **_arrays: np.ndarray) -> None:
        file.write(b"PK half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fill_the_disk)
    for name in ("whole.npz", "other.npz"):
        with pytest.raises(OSError, match="No space left"):
            write_arrays(ARRAYS, tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["whole.npz"]
    with np.load(tmp_path / "whole.npz") as whole:
        assert whole["images"].tolist() == [0, 1, 2, 3]
