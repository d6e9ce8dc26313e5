"""On-disk cache for synthetic datasets shared by all training runs.

The cache folder also contains MNIST. Drawing the datasets takes longer than half of a training. A file is valid only
for the same sources of the `ml` package, the same versions of NumPy and OpenCV, and the same key of the caller.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from ml.data.mnist import get_cache_dir, write_arrays

logger = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]
# Receives a description of the step and the share of it that is done, 0..1. Drawing a dataset takes about a minute.
ProgressCallback = Callable[[str, float], None]
# Number of files to keep for each name, newest first: for other seeds, and for the version before an upgrade.
MAX_FILES_PER_NAME = 4


def no_progress(step: str, share: float) -> None:
    """Ignore progress reports."""


def cached(name: str, make: Callable[[], Arrays], *key: object) -> Arrays:
    """Return arrays from the cache, or compute and store them.

    Args:
        name: prefix of the file name.
        make: computes the arrays. The result may depend only on `key`, this package and its libraries.
        key: values that identify the arrays; arrays count by their content.

    Returns:
        Array name to array.
    """
    path = get_cache_dir() / "kept" / f"{name}-{_hash_key(key)}.npz"
    try:
        # Opened here, because np.load does not close its own file object if the file is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("cache file %s is unreadable and will be recomputed: %s", path, error)
    arrays = make()
    try:
        _store(arrays, path)
    except OSError as error:  # a full or read-only disk costs only the time that the cache would save
        logger.warning("cache file %s cannot be written: %s", path, error)
    return arrays


def _hash_key(key: tuple[object, ...]) -> str:
    """Return a digest of the key and the sources, 32 hexadecimal digits."""
    digest = hashlib.sha256(_hash_sources())
    for part in key:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:32]


@cache
def _hash_sources() -> bytes:
    """Return a digest of this package and of the versions of the libraries that draw."""
    digest = hashlib.sha256(f"{np.__version__} {cv2.__version__}".encode())
    folder = Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.digest()


def _store(arrays: Arrays, path: Path) -> None:
    """Write a cache file and delete the oldest files with the same name."""
    write_arrays(arrays, path)
    files = sorted(path.parent.glob(f"{path.name.rpartition('-')[0]}-*.npz"), key=lambda file: file.stat().st_mtime)
    for old in files[:-MAX_FILES_PER_NAME]:
        old.unlink(missing_ok=True)
