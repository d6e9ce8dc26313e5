"""Arrays that every training of a site needs alike, kept beside MNIST: drawing them takes longer than half a training.

`ml.training.site_recipe` asks for drawn digits here, `ml.training.eval_sets` for the frozen sets. A kept file is
found again only while everything it was made from is the same: the sources of this package, the libraries that draw,
and what the caller names.
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
# Told what is being made and how much of it is done, 0..1: making takes a minute where nothing was kept.
ProgressCallback = Callable[[str, float], None]
# Of each name so many files stay, the newest: other seeds, and the version before an upgrade.
MAX_FILES_PER_NAME = 4


def no_progress(what: str, done: float) -> None:
    """For callers whom nobody watches."""


def cached(name: str, make: Callable[[], Arrays], *given: object) -> Arrays:
    """What `make` returns: read where it was kept, else made and kept.

    Args:
        name: of the file's kind.
        make: depends on nothing but `given`, this package and its libraries.
        given: what distinguishes one call from another; arrays count by their content.
    """
    path = get_cache_dir() / "kept" / f"{name}-{_mark(given)}.npz"
    try:
        # opened here: of a damaged file np.load forgets to close its own
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("%s cannot be read and is made again: %s", path, error)
    made = make()
    try:
        _save(made, path)
    except OSError as error:  # a full or read-only disk costs the seconds that keeping would have saved
        logger.warning("%s could not be kept: %s", path, error)
    return made


def _mark(given: tuple[object, ...]) -> str:
    digest = hashlib.sha256(_sources())
    for one in given:
        if isinstance(one, np.ndarray):
            digest.update(f"{one.dtype}{one.shape}".encode() + np.ascontiguousarray(one).tobytes())
        else:
            digest.update(repr(one).encode())
    return digest.hexdigest()[:32]


@cache
def _sources() -> bytes:
    """Digest of this package and of the libraries that draw."""
    digest = hashlib.sha256(f"{np.__version__} {cv2.__version__}".encode())
    folder = Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.digest()


def _save(arrays: Arrays, path: Path) -> None:
    write_arrays(arrays, path)
    alike = sorted(path.parent.glob(f"{path.name.rpartition('-')[0]}-*.npz"), key=lambda one: one.stat().st_mtime)
    for old in alike[:-MAX_FILES_PER_NAME]:
        old.unlink(missing_ok=True)
