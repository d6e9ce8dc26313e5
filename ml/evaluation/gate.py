"""Promotion gate: statistical comparison of a candidate model with the champion.

Pure functions on right and wrong predictions. `recognizer.services.training` supplies the data and stores every check
with its figures. There are three kinds of checks:

- *paired*: champion and candidate predicted the same images, so only the images on which they disagree count (McNemar,
  1947). A check fails when the loss exceeds its tolerance by two standard errors. There are about forty such checks;
  Holm's correction (1979) raises the limit for the worst of them, otherwise an equally good candidate would seldom
  pass. Two checks are corrected on their own, at two standard errors: the site's holdout as a whole, which is the
  purpose of a training, and the *balance*: all frozen digits together, without tolerance. A loss there must come with
  a gain on the holdout, otherwise small losses that no single check detects would go live without a benefit.
- *floor* and *ceiling*: an absolute bound that does not depend on the champion.
- *best*: the same metric of the best version that was ever live, minus a fixed allowance. It stops small losses from
  adding up over several versions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ml.evaluation.datasets import EvalDataset, Role
from ml.evaluation.gate_checks import GateCheck, apply_holm_correction, paired_test
from ml.evaluation.metrics import CLASSES, expected_calibration_error
from ml.serving.classifier import choose_pixels, decide, softmax
from ml.serving.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml.evaluation.model_metrics import SetMetrics
    from ml.serving.bundle import Manifest
    from ml.serving.classifier import Classifier

# The site's own set; its subsets are named "holdout.canvas" and so on.
HOLDOUT = "holdout"
BALANCE = "balance"
# Allowance against the best version that was ever live, by set.
BEST_EVER_TOLERANCE = {"validation": 0.0015, "distorted": 0.0015}


@dataclass(frozen=True)
class GateRule:
    """Rule of the gate for the comparison of champion and candidate on a set.

    Attributes:
        tolerance: allowed loss besides noise, for the whole set.
        digit_tolerance: allowed loss besides noise, for the images of one digit; None: digits are not checked on their
            own.
        calibration: whether the probabilities are also checked (Brier score).
        frozen: whether the set belongs to the balance of all frozen digits.
    """

    tolerance: float
    digit_tolerance: float | None = None
    calibration: bool = False
    frozen: bool = False


# There is no tolerance on the site's own holdout; only noise is allowed for. The rejection threshold is fitted again in
# each training, so the share of rejected non-digits varies more than accuracy does.
RULES = {
    Role.FROZEN: GateRule(0.001, digit_tolerance=0.003, calibration=True, frozen=True),
    Role.FROZEN_PHOTOGRAPHS: GateRule(0.003, frozen=True),
    Role.NON_DIGITS: GateRule(0.03),
    Role.HOLDOUT: GateRule(0.0, digit_tolerance=0.0),
    Role.HOLDOUT_SOURCE: GateRule(0.0),
}
# The loss of the Brier score that is too small to matter.
BRIER_TOLERANCE = 0.001


@dataclass(frozen=True)
class Floor:
    """An absolute bound on one metric of the candidate.

    Attributes:
        metric: name of the metric, as "set.metric".
        title: display name.
        bound: the bound.
        at_least: whether `bound` is a lower bound (floor) or an upper bound (ceiling).
    """

    metric: str
    title: str
    bound: float
    at_least: bool = True


FLOORS = (
    Floor("validation.accuracy", "MNIST validation, accuracy", 0.985),
    Floor("distorted.accuracy", "Distorted and drawn digits, accuracy", 0.93),
    Floor("validation.worst_digit", "MNIST validation, worst digit", 0.96),
    Floor("validation.ece", "MNIST validation, calibration error", 0.02, at_least=False),
    Floor("distorted.ece", "Distorted and drawn digits, calibration error", 0.04, at_least=False),
    Floor("validation.refused", "MNIST validation, digits refused", 0.02, at_least=False),
    Floor("validation.sure_accuracy", "MNIST validation, sure answers that are right", 0.997),
    Floor("non_digits.refused", "Non-digits refused", 0.30),
)


@dataclass(frozen=True)
class GateResult:
    """All checks, and one sentence for each failed check in `reasons`."""

    checks: list[GateCheck]
    reasons: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True if no check failed."""
        return not self.reasons


@dataclass(frozen=True)
class EvalResult:
    """Predictions of one model on one set.

    Attributes:
        correct: (N,) bool, whether each prediction is correct; for non-digits, whether the image was rejected.
        brier: (N,) float64, Brier score of each prediction; zero for non-digits.
        metrics: metrics over the whole set.
    """

    correct: np.ndarray
    brier: np.ndarray
    metrics: SetMetrics


def evaluate_dataset(dataset: EvalDataset, logits: np.ndarray, manifest: Manifest) -> EvalResult:
    """Evaluate one model's logits on a set.

    Args:
        dataset: the set.
        logits: (N, 10), the model's output for its images.
        manifest: temperature and thresholds of the model.

    Returns:
        Per-image results and metrics. For non-digits the only metric is `refused`.
    """
    answers = decide(logits, manifest)
    refused = np.array([answer.verdict == Verdict.NOT_A_DIGIT for answer in answers], bool)
    labels = dataset.labels
    if not dataset.has_digits:
        return EvalResult(refused, np.zeros(len(answers)), {"refused": _mean(refused)})
    probabilities = softmax(logits, manifest.temperature)
    correct = logits.argmax(axis=1) == labels
    brier = ((probabilities - np.eye(CLASSES)[labels]) ** 2).sum(axis=1)
    sure = np.array([answer.verdict == Verdict.SURE for answer in answers], bool)
    recalls = [_mean(correct[labels == digit]) for digit in range(CLASSES) if (labels == digit).any()]
    metrics: SetMetrics = {
        "accuracy": _mean(correct),
        "worst_digit": min(recalls, default=0.0),
        "ece": expected_calibration_error(probabilities, labels),
        "brier": _mean(brier),
        "refused": _mean(refused),
        "sure": _mean(sure),
        "sure_accuracy": _mean(correct[sure]) if sure.any() else 0.0,
    }
    return EvalResult(correct, brier, metrics)


def evaluate_classifier(classifier: Classifier, sets: Iterable[EvalDataset]) -> dict[str, EvalResult]:
    """Evaluate a model on several sets; the results are by name of the set.

    Of several readings of an image, the model chooses the one that it is evaluated on.
    """
    results = {}
    for dataset in sets:
        images = dataset.images if dataset.readings is None else choose_pixels(classifier, dataset.readings)
        results[dataset.name] = evaluate_dataset(dataset, classifier.logits(images), classifier.manifest)
    return results


def run_gate(
    sets: Sequence[EvalDataset],
    champion: Mapping[str, EvalResult],
    candidate: Mapping[str, EvalResult],
    *,
    best: Mapping[str, tuple[float, str]] | None = None,
    labels: Sequence[GateCheck] = (),
    floors: Sequence[Floor] = FLOORS,
) -> GateResult:
    """Run every check.

    Args:
        sets: the evaluation sets.
        champion: results of the live version, by name of the set.
        candidate: results of the new version, by name of the set.
        best: for the sets of `BEST_EVER_TOLERANCE`, the highest accuracy of any version that was live, and the name
            of that version.
        labels: checks of the training labels (`ml.training.label_noise.find_label_noise`).
        floors: absolute bounds; those on metrics that the candidate lacks are skipped.
    """
    checks = list(labels)
    paired_checks: list[GateCheck] = []
    for dataset in sets:
        paired_checks += _paired_checks(dataset, champion[dataset.name], candidate[dataset.name])
    deciding = [check for check in paired_checks if check.decides]
    holdout = [check for check in paired_checks if check.name == HOLDOUT]
    apply_holm_correction([check for check in deciding if check.name != HOLDOUT])
    apply_holm_correction([check for check in deciding if check.name == HOLDOUT])
    balance = _balance_check(sets, champion, candidate, has_gain=any(check.loss < 0 for check in holdout))
    checks += [*balance, *paired_checks]
    for floor in floors:
        name, _, metric = floor.metric.rpartition(".")
        value = candidate[name].metrics.get(metric) if name in candidate else None
        if isinstance(value, float):
            checks.append(_floor_check(floor, value))
    for name, (accuracy, version_name) in (best or {}).items():
        checks.append(_best_check(name, version_name, accuracy, candidate[name]))
    return GateResult(checks, [_reason(check) for check in checks if not check.passed])


def _paired_checks(dataset: EvalDataset, champion: EvalResult, candidate: EvalResult) -> list[GateCheck]:
    rule, clusters = RULES[dataset.role], dataset.originals
    difference = champion.correct.astype(np.float64) - candidate.correct
    shares = champion.correct, candidate.correct
    checks = [paired_test(dataset.name, dataset.title, difference, clusters, rule.tolerance, shares=shares)]
    if rule.digit_tolerance is not None:
        for digit in range(CLASSES):
            rows = dataset.labels == digit
            checks.append(
                paired_test(
                    f"{dataset.name}.{digit}", f"{dataset.title}, digit {digit}", difference[rows], clusters[rows],
                    rule.digit_tolerance, shares=(champion.correct[rows], candidate.correct[rows]),
                )
            )  # fmt: skip
    if rule.calibration:
        brier = candidate.brier - champion.brier
        checks.append(
            paired_test(
                f"brier.{dataset.name}", f"{dataset.title}, quality of the probabilities (Brier score)", brier,
                clusters, BRIER_TOLERANCE, shares=(champion.brier, candidate.brier),
            )
        )  # fmt: skip
    return checks


def _balance_check(
    sets: Sequence[EvalDataset],
    champion: Mapping[str, EvalResult],
    candidate: Mapping[str, EvalResult],
    *,
    has_gain: bool,
) -> list[GateCheck]:
    """Check all frozen digits together: a loss beyond noise is allowed only with a gain on the site's holdout."""
    digit_sets = [dataset for dataset in sets if RULES[dataset.role].frozen]
    if not digit_sets:
        return []
    clusters, first = [], 0
    for dataset in digit_sets:
        clusters.append(first + dataset.originals)
        first += int(dataset.originals.max(initial=-1)) + 1
    before, after = (
        np.concatenate([results[dataset.name].correct for dataset in digit_sets]) for results in (champion, candidate)
    )
    difference = before.astype(np.float64) - after
    title = "All frozen digits together; a loss beyond noise must have bought a gain on the site's holdout"
    check = paired_test(BALANCE, title, difference, np.concatenate(clusters), 0.0, shares=(before, after))
    if check.decides:
        apply_holm_correction([check])
        check.passed = check.passed or has_gain
    return [check]


def _floor_check(floor: Floor, value: float) -> GateCheck:
    passed = value >= floor.bound if floor.at_least else value <= floor.bound
    kind = "floor" if floor.at_least else "ceiling"
    return GateCheck(f"{kind}.{floor.metric}", floor.title, kind, passed, candidate=value, champion=floor.bound)


def _best_check(name: str, version_name: str, accuracy: float, candidate: EvalResult) -> GateCheck:
    value = candidate.metrics["accuracy"]
    check = GateCheck(f"best.{name}", f"Accuracy ({name}) against {version_name}, the best so far", "best")
    check.candidate, check.champion, check.n = value, accuracy, len(candidate.correct)
    allowance = BEST_EVER_TOLERANCE[name]
    check.loss, check.tolerance, check.limit = accuracy - value, allowance, allowance
    check.passed = check.loss <= allowance
    return check


def _reason(check: GateCheck) -> str:
    if check.kind in ("floor", "ceiling"):
        word = "below" if check.kind == "floor" else "above"
        return f"{check.title}: {_percent(check.candidate)} is {word} the bound of {_percent(check.champion)}."
    if check.kind == "labels":
        return f"{check.title}: {check.regressions} of {check.n}. Have them looked at a second time, or force it."
    figures = f"{_percent(check.candidate)} where it was {_percent(check.champion)}"
    if check.name.startswith("brier."):
        figures = f"{check.candidate:.4f} where it was {check.champion:.4f}"
    if check.kind == "best":
        return f"{check.title}: {figures}; at most {_percent(check.limit)} less is allowed."
    return (
        f"{check.title}: {figures} ({check.regressions} lost, {check.improvements} won of {check.n}); "
        f"a loss of at most {_percent(check.limit)} is within tolerance and noise."
    )


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
