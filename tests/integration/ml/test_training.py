"""Training: recipes, reproducibility, progress, cancellation, fine-tuning, export and the command."""

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from ml.data.mnist import load_mnist
from ml.evaluation.datasets import NO_LABELS, EvalDataset, Role
from ml.evaluation.metrics import evaluate
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE, KERAS_FILE
from ml.serving.classifier import load_classifier
from ml.training.export_pipeline import (
    ExportMismatchError,
    evaluate_model,
    export_model,
    export_recalibrated,
    read_folder,
    write_folder,
)
from ml.training.loop import BASE, SEED, DataSource, epoch_arrays, fit, one_hot, uniform_targets

ROOT = Path(__file__).parents[3]
TENSORFLOW = pytest.mark.xdist_group("tensorflow")
TINY = dataclasses.replace(BASE, epochs=2, extras=False)


@pytest.fixture(scope="module")
def mnist():
    return load_mnist()


@pytest.fixture(scope="module")
def sources(mnist):
    non_digits = DataSource(np.random.default_rng(1).integers(0, 255, (64, 28, 28), np.uint8), uniform_targets(64))
    return [DataSource(mnist.train_images[:640], one_hot(mnist.train_labels[:640])), non_digits]


@pytest.fixture(scope="module")
def validation(mnist):
    return EvalDataset("validation", "MNIST validation", mnist.validation_images[:300], mnist.validation_labels[:300])


@pytest.fixture(scope="module")
def trained(sources, validation):
    return fit(TINY, sources, validation)


@pytest.fixture(scope="module")
def sets(mnist, validation):
    noise = np.random.default_rng(2).integers(0, 255, (50, 28, 28), np.uint8)
    sets = (
        EvalDataset("test", "MNIST test", mnist.test_images[:300], mnist.test_labels[:300], Role.REPORT),
        validation,
        EvalDataset("distorted", "Distorted", mnist.validation_images[300:600], mnist.validation_labels[300:600]),
        EvalDataset("non_digits", "Non-digits", noise, NO_LABELS, Role.NON_DIGITS),
    )
    return {dataset.name: dataset for dataset in sets}


def test_seed_recipe_is_ten_epochs_with_batches_of_64():
    assert (SEED.epochs, SEED.batch_size, SEED.learning_rate) == (10, 64, 0.001)
    assert (SEED.cosine, SEED.label_smoothing, SEED.distortion, SEED.extras) == (False, 0.0, None, False)
    assert (BASE.batch_size, BASE.learning_rate) == (64, 0.001)


def test_epoch_without_distortion_is_a_permutation_of_the_images(mnist):
    images, labels = mnist.train_images[:500], mnist.train_labels[:500]
    pixels, targets = epoch_arrays([DataSource(images, one_hot(labels))], SEED, epoch=0)
    assert pixels.shape == (500, 28, 28)
    assert (pixels.dtype, targets.dtype) == (np.uint8, np.float32)
    assert sorted(map(bytes, pixels)) == sorted(map(bytes, images))
    assert not np.array_equal(pixels, images)
    label_of = {bytes(image): label for image, label in zip(images, labels, strict=True)}
    assert [label_of[bytes(image)] for image in pixels] == targets.argmax(axis=1).tolist()


def test_epoch_depends_on_seed_and_number_only(sources):
    first = epoch_arrays(sources, TINY, epoch=3)[0]
    np.testing.assert_array_equal(first, epoch_arrays(sources, TINY, epoch=3)[0])
    assert not np.array_equal(first, epoch_arrays(sources, TINY, epoch=4)[0])
    assert not np.array_equal(first, epoch_arrays(sources, dataclasses.replace(TINY, seed=2), epoch=3)[0])


def test_source_gives_the_requested_rows_and_uses_all_images(mnist):
    images, targets = mnist.train_images[:10], one_hot(np.arange(10))
    few = epoch_arrays([DataSource(images, targets, rows=4)], SEED, epoch=0)[1]
    many = epoch_arrays([DataSource(images, targets, rows=25)], SEED, epoch=0)[1]
    assert len(few) == 4
    assert sorted(many.sum(axis=0)) == [2] * 5 + [3] * 5


def test_smoothed_targets_sum_to_one_and_uniform_targets_stay_uniform(sources):
    _, targets = epoch_arrays(sources, TINY, epoch=0)
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    assert np.isclose(targets.max(axis=1), 0.955).sum() == 640
    assert np.isclose(targets, 0.1).all(axis=1).sum() == 64


@TENSORFLOW
def test_weights_are_reproducible_for_a_seed(trained, sources, validation):
    model, history = trained
    again, history_again = fit(TINY, sources, validation)
    assert all(map(np.array_equal, model.get_weights(), again.get_weights()))
    assert history == history_again
    other, _ = fit(dataclasses.replace(TINY, seed=2, epochs=1), sources, validation)
    assert not np.array_equal(model.get_weights()[0], other.get_weights()[0])


@TENSORFLOW
def test_history_has_accuracies_losses_and_learning_rate_of_each_epoch(trained):
    model, history = trained
    assert {"accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"} == set(history)
    assert all(len(values) == 2 for values in history.values())
    assert history["accuracy"][1] > history["accuracy"][0] > 0.1
    assert history["learning_rate"][0] == pytest.approx(0.0005, rel=0.01)
    assert history["learning_rate"][1] == pytest.approx(0, abs=1e-6)
    assert type(model.optimizer).__name__ == "Adam"
    assert model.loss == "categorical_crossentropy"


@TENSORFLOW
def test_seed_recipe_gives_the_same_weights_as_model_fit(sources, validation):
    import keras

    from ml.serving.classifier import to_input
    from ml.training.model import build_model

    model, history = fit(dataclasses.replace(SEED, epochs=2), sources[:1], validation)
    keras.utils.set_random_seed(SEED.seed)
    plain = build_model()
    plain.compile(keras.optimizers.Adam(SEED.learning_rate), loss="categorical_crossentropy", metrics=["accuracy"])
    for epoch in range(2):
        pixels, targets = epoch_arrays(sources[:1], SEED, epoch)
        expected = plain.fit(
            to_input(pixels), targets, batch_size=SEED.batch_size, shuffle=False, verbose=0,
            validation_data=(to_input(validation.images), one_hot(validation.labels)),
        ).history  # fmt: skip
        assert expected == {name: [pytest.approx(history[name][epoch], rel=1e-6)] for name in expected}
        assert set(history) == {*expected, "learning_rate"}
    assert all(map(np.array_equal, model.get_weights(), plain.get_weights()))


@TENSORFLOW
@pytest.mark.parametrize(("batch_size", "batches"), [(64, (8, 11)), (41, (12, 18)), (600, (1, 2))])
def test_progress_is_reported_every_few_hundred_images_and_per_epoch(sources, validation, batch_size, batches):
    reports = []
    fit(dataclasses.replace(TINY, batch_size=batch_size), sources, validation, on_progress=reports.append)
    positions = [(p.epoch, p.epochs, p.batch, p.batches) for p in reports]
    assert positions == [(epoch, 2, batch, batches[-1]) for epoch in (1, 2) for batch in batches]
    assert all(p.loss > 0 for p in reports)


@TENSORFLOW
def test_training_can_be_cancelled_during_an_epoch(sources, validation):
    reports = []

    def cancel_in_second_epoch(progress):
        reports.append((progress.epoch, progress.batch))
        if progress.epoch == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(TINY, sources, validation, on_progress=cancel_in_second_epoch)
    assert reports == [(1, 8), (1, 11), (2, 8)]


@TENSORFLOW
def test_training_can_start_from_a_model(trained, sources, validation):
    from ml.serving.export import load_keras

    base = load_keras((BASE_FOLDER / KERAS_FILE).read_bytes())
    recipe = dataclasses.replace(TINY, epochs=1, learning_rate=1e-5)
    _, history = fit(recipe, sources, validation, model=base)
    assert history["val_accuracy"][0] > 0.97 > trained[1]["val_accuracy"][-1]


@TENSORFLOW
def test_trained_model_is_exported_evaluated_and_written(trained, sets, tmp_path):
    model, history = trained
    exported = export_model(model, "base", sets)
    metrics = evaluate_model(exported, sets)
    write_folder(tmp_path / "out", exported, metrics, history)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "my_model.keras", "model.bundle", "history.json", "metrics.json",
        "accuracy.svg", "loss.svg", "confusion_matrix.svg", "reliability.svg",
    }  # fmt: skip
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    served = load_classifier((tmp_path / "out" / "model.bundle").read_bytes(), sha256=written["bundle_sha256"])
    is_correct = served.logits(sets["test"].images).argmax(axis=1) == sets["test"].labels
    assert written["test_accuracy"] == is_correct.mean()
    keras_file = (tmp_path / "out" / "my_model.keras").read_bytes()
    assert hashlib.sha256(keras_file).hexdigest() == written["keras_sha256"]
    assert len(keras_file) < 1_000_000  # without the state of the optimizer
    assert json.loads((tmp_path / "out" / "history.json").read_text()) == history


@TENSORFLOW
def test_export_that_differs_from_the_model_is_rejected(trained, sets, monkeypatch):
    from ml.serving import export
    from ml.training.model import build_model

    litert = export.to_litert(build_model())  # the right shape, other weights
    monkeypatch.setattr(export, "to_litert", lambda model: litert)
    with pytest.raises(ExportMismatchError, match="differ from the Keras model"):
        export_model(trained[0], "base", sets)


@TENSORFLOW
def test_model_can_be_recalibrated_without_training(trained, sets, tmp_path):
    model, history = trained
    exported = export_model(model, "base", sets)
    write_folder(tmp_path, exported, evaluate_model(exported, sets), history)
    stored, metrics, stored_history = read_folder(tmp_path)
    assert stored_history == history
    assert metrics["test_accuracy"] == evaluate_model(stored, sets)["test_accuracy"]
    assert export_recalibrated(stored, sets).bundle == exported.bundle
    validation = sets["validation"]
    subset = dataclasses.replace(validation, images=validation.images[:50], labels=validation.labels[:50])
    fewer = sets | {"validation": subset}
    other = export_recalibrated(stored, fewer)
    assert other.manifest.temperature != exported.manifest.temperature
    assert other.manifest.model_sha256 == exported.manifest.model_sha256
    assert other.keras_file == exported.keras_file


def test_only_a_complete_and_unchanged_training_is_recalibrated(tmp_path):
    with pytest.raises(CommandError, match="holds no complete training"):
        call_command("train", "--calibrate-only", "--output", tmp_path)
    for name in ("metrics.json", "history.json", BUNDLE_FILE):
        (tmp_path / name).write_bytes((BASE_FOLDER / name).read_bytes())
    (tmp_path / KERAS_FILE).write_bytes(b"another")
    with pytest.raises(ExportMismatchError, match="the Keras file is not the one that was recorded"):
        read_folder(tmp_path)


@pytest.mark.acceptance
def test_recalibrating_the_shipped_model_gives_the_shipped_bundle(tmp_path):
    for path in BASE_FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    call_command("train", "--calibrate-only", "--output", tmp_path)
    assert (tmp_path / BUNDLE_FILE).read_bytes() == (BASE_FOLDER / BUNDLE_FILE).read_bytes()


def test_shipped_metrics_match_the_shipped_model(mnist):
    metrics = json.loads((BASE_FOLDER / "metrics.json").read_text())
    bundle = (BASE_FOLDER / BUNDLE_FILE).read_bytes()
    served = load_classifier(bundle, sha256=metrics["bundle_sha256"])
    assert hashlib.sha256((BASE_FOLDER / KERAS_FILE).read_bytes()).hexdigest() == metrics["keras_sha256"]
    result = evaluate(served.logits(mnist.test_images), mnist.test_labels, served.manifest.temperature)
    # Rounding on other processors may change a few close decisions.
    assert result["accuracy"] == pytest.approx(metrics["test_accuracy"], abs=0.0003)
    assert result["accuracy"] >= 0.995
    assert result["ece"] == pytest.approx(metrics["ece"], abs=0.0005)
    assert metrics["recipe"]["name"] == "base"
    assert metrics["command"] == "python manage.py train --recipe base --output ml/base"


def test_shipped_model_matches_the_preprocessing_version_and_is_small():
    from ml.preprocessing import PREPROCESSING_VERSION

    metrics = json.loads((BASE_FOLDER / "metrics.json").read_text())
    assert metrics["manifest"]["preprocessing_version"] == PREPROCESSING_VERSION
    assert sum(path.stat().st_size for path in BASE_FOLDER.iterdir()) < 3_000_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "secret"], "--recipe: invalid choice: 'secret'"),
        (["--epochs", "0"], "--epochs: must be a whole number from 1, not 0"),
        (["--batch-size", "many"], "--batch-size: must be a whole number from 1, not many"),
        (["--seed", "-1"], "--seed: must be a whole number from 0"),
        (["--learning-rate", "nan"], "--learning-rate: must be a number above 0"),
        (["--l2", "-0.1"], "--l2: must be a number from 0 to 1"),
        (["--output", "/proc/nowhere"], "Nothing can be written into /proc/nowhere"),
    ],
)
def test_command_rejects_invalid_options_before_training(options, message):
    with pytest.raises(CommandError, match=re.escape(message)):
        call_command("train", *options)


@pytest.mark.acceptance
def test_command_trains_the_seed_recipe_reproducibly(tmp_path):
    fingerprints = []
    for name in ("first", "second"):
        result = subprocess.run(
            [sys.executable, "manage.py", "train", "--recipe", "seed", "--epochs", "1", "--output", tmp_path / name],
            cwd=ROOT, env=os.environ | {"DATA_DIR": str(tmp_path / "data")}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        assert f"Test accuracy: {metrics['test_accuracy']:.4f}" in result.stdout
        assert metrics["test_accuracy"] > 0.97
        assert "epoch 1/1" in result.stderr
        fingerprints.append(metrics["manifest"]["weights_sha256"])
    assert fingerprints[0] == fingerprints[1]
