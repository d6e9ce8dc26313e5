"""Classifier: probabilities, energy, doubt and verdict from both runtimes."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ml.data.mnist import load_mnist
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE, KERAS_FILE, BundleError, Manifest
from ml.serving.classifier import decide, energy, load_classifier, softmax
from ml.serving.verdicts import Verdict

BASE = (BASE_FOLDER / BUNDLE_FILE).read_bytes()
KERAS = (BASE_FOLDER / KERAS_FILE).read_bytes()
MANIFEST = Manifest(1, "test", 1, "", "", temperature=1.0, sure_margin=0.6, sure_energy=-5.0, refuse_energy=-3.0)


@pytest.fixture(scope="module")
def digits():
    return load_mnist().test_images[:1000]


@pytest.fixture(scope="module")
def classifier():
    return load_classifier(BASE, sha256=hashlib.sha256(BASE).hexdigest())


def logits(**values: float) -> np.ndarray:
    row = np.zeros((1, 10), np.float32)
    for name, value in values.items():
        row[0, int(name[1:])] = value
    return row


def test_litert_runtime_does_not_import_tensorflow():
    script = (
        "import sys, numpy as np\n"
        "from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE\n"
        "from ml.serving.classifier import load_classifier\n"
        "import ml.preprocessing\n"
        "load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes()).answer(np.zeros((3, 28, 28), np.uint8))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    root = Path(__file__).parents[3]
    result = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.xdist_group("tensorflow")
def test_keras_and_litert_give_the_same_probabilities_for_1000_digits(classifier, digits):
    keras = load_classifier(BASE, runtime="keras", keras_file=KERAS, keras_sha256=hashlib.sha256(KERAS).hexdigest())
    served = np.array([answer.probabilities for answer in classifier.answer(digits)])
    expected = np.array([answer.probabilities for answer in keras.answer(digits)])
    assert np.abs(served - expected).max() < 1e-5
    assert [a.verdict for a in classifier.answer(digits)] == [a.verdict for a in keras.answer(digits)]


@pytest.mark.xdist_group("tensorflow")
def test_keras_file_that_does_not_match_the_bundle_is_rejected(tmp_path):
    from ml.serving.export import save_keras
    from ml.training.model import build_model

    save_keras(build_model(), tmp_path / "other.keras")
    other = (tmp_path / "other.keras").read_bytes()
    with pytest.raises(BundleError, match="does not match the serving bundle"):
        load_classifier(BASE, runtime="keras", keras_file=other)
    with pytest.raises(BundleError, match="does not match its record"):
        load_classifier(BASE, runtime="keras", keras_file=other, keras_sha256=hashlib.sha256(KERAS).hexdigest())
    with pytest.raises(BundleError, match="missing"):
        load_classifier(BASE, runtime="keras")
    with pytest.raises(BundleError, match="damaged"):
        load_classifier(BASE, runtime="keras", keras_file=KERAS[: len(KERAS) // 2])


@pytest.mark.xdist_group("tensorflow")
def test_keras_file_with_code_is_rejected(tmp_path):
    import keras

    model = keras.Sequential([keras.layers.Input((28, 28, 1)), keras.layers.Lambda(lambda x: x)])
    path = tmp_path / "evil.keras"
    model.save(path)
    with pytest.raises(BundleError, match="cannot be read"):
        load_classifier(BASE, runtime="keras", keras_file=path.read_bytes())


def test_error_names_the_unknown_runtime():
    with pytest.raises(BundleError, match="'onnx'"):
        load_classifier(BASE, runtime="onnx")


def test_shipped_model_recognizes_digits_and_probabilities_sum_to_one(classifier, digits):
    answers = classifier.answer(digits)
    accuracy = np.mean([a.digit == label for a, label in zip(answers, load_mnist().test_labels, strict=False)])
    assert accuracy > 0.98
    for answer in answers[:50]:
        assert sum(answer.probabilities) == pytest.approx(1)
        assert answer.certainty == max(answer.probabilities) == answer.probabilities[answer.digit]
        assert answer.runner_up == sorted(range(10), key=lambda d: -answer.probabilities[d])[1]
        assert 0 <= answer.doubt <= 1


def test_answer_is_independent_of_the_batch(classifier, digits):
    batched = classifier.logits(digits[:300])
    single = np.concatenate([classifier.logits(digits[i : i + 1]) for i in range(300)])
    np.testing.assert_allclose(batched, single, atol=1e-4)


def test_empty_batch_gives_no_answers(classifier):
    assert classifier.answer(np.zeros((0, 28, 28), np.uint8)) == []


@pytest.mark.parametrize(
    "pixels", [np.zeros((28, 28), np.uint8), np.zeros((1, 28, 27), np.uint8), np.zeros((1, 28, 28), np.float32)]
)
def test_wrong_shape_or_dtype_is_rejected(classifier, pixels):
    with pytest.raises(ValueError, match="must be"):
        classifier.answer(pixels)


def test_blank_image_has_verdict_blank_and_maximum_doubt(classifier):
    (answer,) = classifier.answer(np.zeros((1, 28, 28), np.uint8))
    assert answer.verdict is Verdict.BLANK
    assert answer.doubt == 1


@pytest.mark.parametrize(
    ("row", "ink", "verdict"),
    [
        (logits(d3=12.0), {}, Verdict.SURE),
        (logits(d3=12.0, d5=11.5), {}, Verdict.UNSURE),  # two digits nearly as probable
        (logits(d3=4.0), {}, Verdict.UNSURE),  # energy between the two thresholds
        (logits(d3=0.1), {}, Verdict.NOT_A_DIGIT),
        (logits(d3=12.0), {"several": True}, Verdict.SEVERAL),
        (logits(d3=12.0), {"dot": True}, Verdict.NOT_A_DIGIT),
        (logits(d3=12.0), {"several": False, "dot": False, "coverage": 0.1}, Verdict.SURE),
        (logits(d3=12.0), {"doubtful": True}, Verdict.UNSURE),
    ],
)
def test_verdict_depends_on_margin_energy_and_features(row, ink, verdict):
    (answer,) = decide(row, MANIFEST, [ink])
    assert answer.verdict is verdict
    assert answer.digit == 3


def test_doubt_increases_with_ambiguity():
    rows = [logits(d3=14.0), logits(d3=9.0, d5=6.0), logits(d3=9.0, d5=8.5), logits(d3=0.1)]
    doubts = [decide(row, MANIFEST)[0].doubt for row in rows]
    assert doubts == sorted(doubts)
    assert doubts[0] < 0.01
    assert doubts[-1] > 0.9


def test_energy_and_softmax_equal_their_formulas():
    row = np.array([[1.0, 2.0, 3.0]], np.float32)
    assert energy(row)[0] == pytest.approx(-np.log(np.exp([-1, 0, 1]).sum()))
    assert energy(row + 5)[0] == pytest.approx(energy(row)[0])
    assert energy(np.zeros((1, 10)))[0] == pytest.approx(-np.log(10))
    np.testing.assert_allclose(softmax(row, 0.5)[0], np.exp([2, 4, 6]) / np.exp([2, 4, 6]).sum())
    np.testing.assert_allclose(softmax(row * 1e4)[0], [0, 0, 1])  # no overflow
