"""What is kept between trainings: found again when it is the same, made again when it is not or was damaged."""

from pathlib import Path

import numpy as np
import pytest

from ml.data import disk_cache as keeping
from ml.data.disk_cache import cached


class Drawing:
    """Counts how often something was drawn."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.times += 1
        return {"images": np.arange(4, dtype=np.uint8)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MNIST_CACHE", str(tmp_path))
    return tmp_path / "kept"


def test_what_was_kept_is_not_made_again():
    draw = Drawing()
    first, second = cached("digits", draw, 1), cached("digits", draw, 1)
    assert draw.times == 1
    assert first["images"].tolist() == second["images"].tolist() == [0, 1, 2, 3]


def test_other_arguments_arrays_and_sources_are_something_else(monkeypatch):
    draw = Drawing()
    cached("digits", draw, 1)
    cached("digits", draw, 2)
    cached("digits", draw, np.zeros(2))
    cached("digits", draw, np.ones(2))
    monkeypatch.setattr(keeping, "_hash_sources", lambda: b"another version")
    cached("digits", draw, 1)
    assert draw.times == 5


def test_a_damaged_file_is_made_again(cache: Path):
    draw = Drawing()
    cached("digits", draw, 1)
    file = next(cache.iterdir())
    file.write_bytes(file.read_bytes()[:100])
    assert cached("digits", draw, 1)["images"].tolist() == [0, 1, 2, 3]
    assert draw.times == 2


def test_old_ones_make_room(cache: Path):
    for seed in range(keeping.MAX_FILES_PER_NAME + 3):
        cached("digits", Drawing(), seed)
    cached("others", Drawing())
    assert sorted(path.name.partition("-")[0] for path in cache.iterdir()) == [
        "digits"
    ] * keeping.MAX_FILES_PER_NAME + ["others"]


def test_a_disk_that_takes_nothing_costs_only_time(tmp_path: Path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.touch()
    monkeypatch.setenv("MNIST_CACHE", str(blocked))
    assert cached("digits", Drawing(), 1)["images"].tolist() == [0, 1, 2, 3]
