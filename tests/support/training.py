"""Fixtures for a small but complete training, and for versions to deploy."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ml.data.mnist import load_mnist
from ml.evaluation import gate
from ml.evaluation.datasets import EvalDataset, Role
from ml.serving import bundle as bundles
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.training import comparison, eval_sets, site_recipe
from ml.training.site_recipe import Pool


@pytest.fixture
def small_training(monkeypatch: pytest.MonkeyPatch, small_sets: dict[str, EvalDataset]) -> None:
    """Reduce the number of images to a tenth: a training takes seconds instead of half a minute."""
    small, tiny = Pool(200, 200), Pool(50, 50)
    recipe = replace(
        site_recipe.SITE, replay_rows=1_000, redrawn=small, photographed=tiny, drawn=small, non_digits=small
    )
    monkeypatch.setattr(site_recipe, "RECIPES", {recipe.name: recipe})
    for name, value in {"DISTORTIONS": 1, "SYNTHETIC_PER_DIGIT": 20, "PHOTOGRAPHS": 50}.items():
        monkeypatch.setattr(eval_sets, name, value)
    monkeypatch.setattr(eval_sets, "export_datasets", lambda mnist, on_progress: small_sets)
    # Small arrays must not evict those that real trainings have cached.
    for module in (site_recipe, eval_sets, comparison):
        monkeypatch.setattr(module, "cached", lambda name, make, *key: make())
    # The bounds and tolerances are not meant for so short a training; the gate has its own tests.
    for role, tolerance in {Role.FROZEN_PHOTOGRAPHS: 0.1, Role.NON_DIGITS: 0.3}.items():
        monkeypatch.setitem(gate.RULES, role, replace(gate.RULES[role], tolerance=tolerance))
    for name in gate.BEST_EVER_TOLERANCE:
        monkeypatch.setitem(gate.BEST_EVER_TOLERANCE, name, 0.02)
    monkeypatch.setattr(gate, "FLOORS", ())
    monkeypatch.setattr(gate.run_gate, "__kwdefaults__", {**gate.run_gate.__kwdefaults__, "floors": ()})


@pytest.fixture(scope="session")
def small_sets() -> dict[str, EvalDataset]:
    """The evaluation sets of an export, with a tenth of the images."""
    mnist = load_mnist()
    subset = slice(None, None, 10)
    small_mnist = replace(
        mnist,
        validation_images=mnist.validation_images[subset],
        validation_labels=mnist.validation_labels[subset],
        test_images=mnist.test_images[subset],
        test_labels=mnist.test_labels[subset],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eval_sets, "NON_DIGITS", 200)
        patch.setattr(eval_sets, "EXPORT_DRAWN", 100)
        patch.setattr(eval_sets, "cached", lambda name, make, *key: make())
        return eval_sets.export_datasets(small_mnist)


@pytest.fixture
def upgraded_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Folder of a new base model after an upgrade: the old model with another recipe name."""
    from recognizer.services.registry import versions

    for file in BASE_FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / BUNDLE_FILE
    bundle = bundles.read(path.read_bytes())
    path.write_bytes(bundles.write(bundle.model, replace(bundle.manifest, recipe="upgraded")))
    metrics = json.loads((BASE_FOLDER / "metrics.json").read_text())
    metrics["bundle_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    monkeypatch.setattr(versions.find_new_base, "__defaults__", (tmp_path,))
    return tmp_path


@pytest.fixture
def make_version() -> Callable:
    """Factory of versions that are copies of the base model."""
    from recognizer.models import GateVerdict, ModelFiles, ModelVersion

    def make(*, passed: bool = True, parent: ModelVersion | None = None) -> ModelVersion:
        base = ModelVersion.objects.get(number=1)
        number = ModelVersion.objects.first().number + 1
        version = ModelVersion.objects.create(
            number=number,
            parent=parent or base,
            origin="training",
            keras_sha256=hashlib.sha256(bytes(base.files.keras_file)).hexdigest(),
            bundle_sha256=base.bundle_sha256,
            manifest=base.manifest,
            gate_verdict=GateVerdict.PASSED if passed else GateVerdict.REFUSED,
        )
        ModelFiles.objects.create(version=version, keras_file=base.files.keras_file, bundle=base.files.bundle)
        return version

    return make
