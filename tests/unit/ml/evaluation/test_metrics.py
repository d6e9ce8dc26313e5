"""Metrics: accuracy, intervals, calibration, and the choice of thresholds."""

import numpy as np
import pytest

from ml.evaluation.calibration import REFUSED_DIGIT_SHARE, choose_thresholds, fit_temperature
from ml.evaluation.metrics import (
    confusion_matrix,
    evaluate,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    wilson,
)
from ml.serving.classifier import energy, softmax


def generate_logits(n: int, sharpness: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are calibrated at temperature `sharpness`: the labels are drawn from their softmax."""
    rng = np.random.default_rng(seed)
    calibrated = rng.normal(0, 2.5, (n, 10))
    cumulated = softmax(calibrated).cumsum(axis=1)
    labels = (rng.random((n, 1)) > cumulated).sum(axis=1).clip(0, 9)
    return (calibrated * sharpness).astype(np.float32), labels


def test_wilson_intervals_match_published_values():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_rows_of_the_confusion_matrix_are_true_digits():
    matrix = confusion_matrix(np.array([3, 3, 5]), np.array([3, 5, 5]))
    assert matrix[3, 3] == matrix[3, 5] == matrix[5, 5] == 1
    assert matrix.sum() == 3


def test_evaluate_counts_correct_predictions_per_digit():
    logits = np.eye(10, dtype=np.float32)[[1, 1, 2, 7]] * 5
    result = evaluate(logits, np.array([1, 1, 2, 1]))
    assert (result["n"], result["correct"], result["accuracy"]) == (4, 3, 0.75)
    assert result["per_digit"][1] == pytest.approx(2 / 3)
    assert result["per_digit"][0] is None
    assert result["confusion"][1][7] == 1


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_fitted_temperature_corrects_over_and_underconfidence(sharpness):
    logits, labels = generate_logits(20_000, sharpness)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(sharpness, rel=0.05)
    assert expected_calibration_error(softmax(logits, temperature), labels) < 0.01
    for other in (temperature * 0.8, temperature * 1.25):
        assert negative_log_likelihood(logits, labels, temperature) < negative_log_likelihood(logits, labels, other)


def test_calibration_error_is_the_weighted_distance_of_certainty_and_accuracy():
    probabilities = np.full((10, 10), 0.02)
    probabilities[:, 4] = 0.82
    labels = np.array([4] * 5 + [0] * 5)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.32)
    (row,) = reliability(probabilities, labels)
    assert (row["n"], row["accuracy"]) == (10, 0.5)


def test_thresholds_refuse_few_digits_and_sure_answers_are_right():
    logits, labels = generate_logits(20_000, 1.0)
    thresholds = choose_thresholds(logits, labels, 1.0)
    energies = energy(logits)
    assert np.mean(energies > thresholds.refuse_energy) == pytest.approx(REFUSED_DIGIT_SHARE, abs=0.001)
    assert thresholds.sure_energy < thresholds.refuse_energy
    top = np.sort(softmax(logits), axis=1)
    sure = (top[:, -1] - top[:, -2] >= thresholds.sure_margin) & (energies <= thresholds.sure_energy)
    assert np.mean((logits.argmax(axis=1) == labels)[sure]) > np.mean(logits.argmax(axis=1) == labels)
    assert np.mean((logits.argmax(axis=1) == labels)[sure]) > 0.98
