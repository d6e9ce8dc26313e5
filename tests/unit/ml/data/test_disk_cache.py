"""On-disk cache of datasets: hits, misses, damaged files and eviction."""

from pathlib import Path

import numpy as np
import pytest

from ml.data import disk_cache
from ml.data.disk_cache import cached


class CountingFunction:
    """A dataset function that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.calls += 1
        return {"images": np.arange(4, dtype=np.uint8)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MNIST_CACHE", str(tmp_path))
    return tmp_path / "kept"


def test_cached_arrays_are_not_computed_again():
    make = CountingFunction()
    first, second = cached("digits", make, 1), cached("digits", make, 1)
    assert make.calls == 1
    assert first["images"].tolist() == second["images"].tolist() == [0, 1, 2, 3]


def test_key_arrays_and_sources_identify_a_cache_file(monkeypatch):
    make = CountingFunction()
    cached("digits", make, 1)
    cached("digits", make, 2)
    cached("digits", make, np.zeros(2))
    cached("digits", make, np.ones(2))
    monkeypatch.setattr(disk_cache, "_hash_sources", lambda: b"another version")
    cached("digits", make, 1)
    assert make.calls == 5


def test_damaged_cache_file_is_recomputed(cache: Path):
    make = CountingFunction()
    cached("digits", make, 1)
    file = next(cache.iterdir())
    file.write_bytes(file.read_bytes()[:100])
    assert cached("digits", make, 1)["images"].tolist() == [0, 1, 2, 3]
    assert make.calls == 2


def test_oldest_cache_files_are_deleted(cache: Path):
    for seed in range(disk_cache.MAX_FILES_PER_NAME + 3):
        cached("digits", CountingFunction(), seed)
    cached("outliers", CountingFunction())
    assert sorted(path.name.partition("-")[0] for path in cache.iterdir()) == [
        "digits"
    ] * disk_cache.MAX_FILES_PER_NAME + ["outliers"]


def test_arrays_are_computed_if_the_cache_cannot_be_written(tmp_path: Path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.touch()
    monkeypatch.setenv("MNIST_CACHE", str(blocked))
    assert cached("digits", CountingFunction(), 1)["images"].tolist() == [0, 1, 2, 3]
