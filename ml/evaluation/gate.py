"""The gate: is a candidate at least as good as the champion? Pure statistics on right and wrong answers.

`recognizer.services.training` feeds it and keeps every check with its figures. Three kinds of checks:

- *paired*: champion and candidate answered the same pictures, so only those count on which they disagree (McNemar,
  1947). A check fails when the loss exceeds its tolerance by two standard errors; as there are some forty of them, the
  two standard errors become more for the worst of them (Holm, 1979), or an equally good candidate would seldom pass.
  Two of them stand alone, at two standard errors: the site's holdout as a whole, which is what a training is for, and
  the *balance*: all frozen digits together, without tolerance. A loss there, however small, must have bought a gain on
  the holdout, or small losses that no single check notices would go live for nothing.
- *floor*: an absolute bound, whatever the champion is like.
- *best*: the same figure of the best version that was ever live, less a fixed allowance, or small losses add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from ml.evaluation.metrics import CLASSES, expected_calibration_error
from ml.serving.bundle import Manifest
from ml.serving.classifier import decide, softmax
from ml.serving.verdicts import Verdict

# A lone check fails at two standard errors beyond its tolerance; Holm's procedure shares this chance among all.
STANDARD_ERRORS = 2.0
ALPHA = 1 - NormalDist().cdf(STANDARD_ERRORS)
# Losses that nobody would notice, as shares: of all pictures of a set, of one digit's, in Brier score.
TOLERANCE, DIGIT_TOLERANCE, BRIER_TOLERANCE = 0.001, 0.003, 0.001
# What is refused depends on a threshold that is fitted anew in each training, so whole groups move with it.
NON_DIGIT_TOLERANCE = 0.03
# The site's own set; its parts are named "holdout.canvas" and so on.
HOLDOUT = "holdout"
BALANCE = "balance"
# On the site's own holdout a loss is a loss; only noise is allowed for.
HOLDOUT_TOLERANCE = 0.0
# With fewer pictures than this a share says nothing: the check is shown and does not decide.
MIN_IMAGES = 20
# Against the best version that was ever live, by set.
BEST_EVER_TOLERANCE = {"validation": 0.0015, "distorted": 0.0015}


@dataclass(frozen=True)
class EvalDataset:
    """A labelled set on which both are asked.

    Attributes:
        name: for programs, "validation".
        title: for people, "MNIST validation".
        images: (N, 28, 28) uint8.
        labels: (N,) digits; None where all are non-digits.
        clusters: (N,) which picture each one was made from; copies of one picture are no independent evidence.
        tolerance, digit_tolerance: see the constants above.
        per_digit: whether each digit is checked by itself as well.
        calibration: whether the probabilities are checked as well.
        frozen: whether no label of the site reaches it.
    """

    name: str
    title: str
    images: np.ndarray
    labels: np.ndarray | None
    clusters: np.ndarray | None = None
    tolerance: float = TOLERANCE
    digit_tolerance: float = DIGIT_TOLERANCE
    per_digit: bool = True
    calibration: bool = True
    frozen: bool = True


@dataclass(frozen=True)
class Floor:
    """An absolute bound on the candidate: `figure` of `check` (as `figures` names them) at least or at most this."""

    figure: str
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


@dataclass
class GateCheck:
    """One check with its figures; `asdict` of it is what is stored.

    Attributes:
        name: "validation", "validation.7", "brier.validation", "balance", "floor.…", "best.…".
        title: for people.
        kind: paired, floor, ceiling, best, agreement or labels.
        passed: whether the candidate may pass as far as this check goes.
        candidate: its figure (accuracy, share, Brier score, …).
        champion: the champion's, or the bound it is held against.
        n: pictures.
        lost, won: pictures that only the champion, only the candidate has right.
        loss: how much worse the candidate is (negative: better), as a share.
        error: standard error of the loss.
        limit: the loss that would have been too much, with tolerance and standard errors.
        decides: False where there are too few pictures.
    """

    name: str
    title: str
    kind: str
    passed: bool = True
    candidate: float = 0.0
    champion: float = 0.0
    n: int = 0
    lost: int = 0
    won: int = 0
    loss: float = 0.0
    error: float = 0.0
    tolerance: float = 0.0
    limit: float = 0.0
    p: float = 1.0
    decides: bool = True


@dataclass(frozen=True)
class GateResult:
    """All checks; `reasons` says for each that failed why, in one sentence."""

    checks: list[GateCheck]
    reasons: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.reasons


@dataclass(frozen=True)
class EvalResult:
    """What one model says of one set: right (N,), Brier score (N,), all figures.

    For non-digits "right" means refused.
    """

    right: np.ndarray
    brier: np.ndarray
    figures: dict[str, float]


def evaluate_dataset(logits: np.ndarray, labels: np.ndarray | None, manifest: Manifest) -> EvalResult:
    """Judge one model's logits (N, 10) on a set."""
    said = decide(logits, manifest)
    refused = np.array([one.verdict == Verdict.NOT_A_DIGIT for one in said], bool)
    if labels is None:
        return EvalResult(refused, np.zeros(len(said)), {"refused": _mean(refused)})
    probabilities = softmax(logits, manifest.temperature)
    right = logits.argmax(axis=1) == labels
    brier = ((probabilities - np.eye(CLASSES)[labels]) ** 2).sum(axis=1)
    sure = np.array([one.verdict == Verdict.SURE for one in said], bool)
    recalls = [_mean(right[labels == digit]) for digit in range(CLASSES) if (labels == digit).any()]
    figures = {
        "accuracy": _mean(right),
        "worst_digit": min(recalls, default=0.0),
        "ece": expected_calibration_error(probabilities, labels),
        "brier": _mean(brier),
        "refused": _mean(refused),
        "sure": _mean(sure),
        "sure_accuracy": _mean(right[sure]) if sure.any() else 0.0,
    }
    return EvalResult(right, brier, figures)


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
        sets: what both were asked; answers are given by the sets' names.
        champion: the live version's answers.
        candidate: the new version's answers.
        best: for a set's name (of BEST_ALLOWANCE) the highest accuracy of any version that was live, and whose it is.
        labels: checks of the labels themselves (`ml.training.label_noise.find_suspected_noise`).
        floors: bounds; those on sets that are not there are left out.
    """
    checks = list(labels)
    paired_checks: list[GateCheck] = []
    for one in sets:
        paired_checks += _paired_checks(one, champion[one.name], candidate[one.name])
    deciding = [check for check in paired_checks if check.decides]
    holdout = [check for check in paired_checks if check.name == HOLDOUT]
    _correct_for_their_number([check for check in deciding if check.name != HOLDOUT])
    _correct_for_their_number([check for check in deciding if check.name == HOLDOUT])
    balance = _balance(sets, champion, candidate, gained=any(check.loss < 0 for check in holdout))
    checks += [*balance, *paired_checks]
    figures = {f"{name}.{key}": value for name, said in candidate.items() for key, value in said.figures.items()}
    for floor in floors:
        if floor.figure in figures:
            checks.append(_floor_check(floor, figures[floor.figure]))
    for name, (accuracy, whose) in (best or {}).items():
        checks.append(_best_check(name, whose, accuracy, candidate[name]))
    return GateResult(checks, [_reason(check) for check in checks if not check.passed])


def _paired_checks(one: EvalDataset, champion: EvalResult, candidate: EvalResult) -> list[GateCheck]:
    clusters = np.arange(len(one.images)) if one.clusters is None else one.clusters
    difference = champion.right.astype(np.float64) - candidate.right
    shares = champion.right, candidate.right
    made = [paired_test(one.name, one.title, difference, clusters, one.tolerance, shares=shares)]
    if one.labels is None:
        return made
    if one.per_digit:
        for digit in range(CLASSES):
            rows = one.labels == digit
            made.append(
                paired_test(
                    f"{one.name}.{digit}", f"{one.title}, digit {digit}", difference[rows], clusters[rows],
                    one.digit_tolerance, shares=(champion.right[rows], candidate.right[rows]),
                )
            )  # fmt: skip
    if one.calibration:
        brier = candidate.brier - champion.brier
        made.append(
            paired_test(
                f"brier.{one.name}", f"{one.title}, quality of the probabilities (Brier score)", brier, clusters,
                BRIER_TOLERANCE, shares=(champion.brier, candidate.brier),
            )
        )  # fmt: skip
    return made


def _balance(
    sets: Sequence[EvalDataset],
    champion: Mapping[str, EvalResult],
    candidate: Mapping[str, EvalResult],
    *,
    gained: bool,
) -> list[GateCheck]:
    """All frozen digits together: a loss beyond noise must have bought a gain on the site's holdout."""
    digits = [one for one in sets if one.frozen and one.labels is not None]
    if not digits:
        return []
    clusters, first = [], 0
    for one in digits:
        own = np.arange(len(one.images)) if one.clusters is None else one.clusters
        clusters.append(first + own)
        first += int(own.max(initial=-1)) + 1
    shares = tuple(np.concatenate([said[one.name].right for one in digits]) for said in (champion, candidate))
    difference = shares[0].astype(np.float64) - shares[1]
    title = "All frozen digits together; a loss beyond noise must have bought a gain on the site's holdout"
    check = paired_test(BALANCE, title, difference, np.concatenate(clusters), 0.0, shares=shares)
    if check.decides:
        _correct_for_their_number([check])
        check.passed = check.passed or gained
    return [check]


def paired_test(
    name: str,
    title: str,
    difference: np.ndarray,
    clusters: np.ndarray,
    tolerance: float,
    *,
    shares: tuple[np.ndarray, np.ndarray],
) -> GateCheck:
    """One paired check, before the correction for the number of checks.

    Args:
        name, title: of the check.
        difference: (N,) how much worse the candidate did on each picture: -1, 0 or 1 for right and wrong.
        clusters: (N,) pictures with the same number are one piece of evidence.
        tolerance: the loss that is allowed besides noise.
        shares: per picture the champion's and the candidate's figure.
    """
    n = len(difference)
    champion, candidate = shares
    check = GateCheck(name, title, "paired", n=n, tolerance=tolerance, decides=n >= MIN_IMAGES)
    if n == 0:
        return check
    check.champion, check.candidate = _mean(champion), _mean(candidate)
    check.lost, check.won = int((difference > 0.5).sum()), int((difference < -0.5).sum())
    check.loss = float(difference.mean())
    _, number = np.unique(clusters, return_inverse=True)
    sums = np.bincount(number, weights=difference)
    # Of right and wrong this is McNemar's standard error, sqrt(lost + won) / n. One more picture: none is no proof.
    whole = bool(np.isin(difference, (-1, 0, 1)).all())
    check.error = math.sqrt(float((sums**2).sum()) + (1.0 if whole else 0.0)) / n
    excess = check.loss - tolerance
    z = excess / check.error if check.error else math.copysign(math.inf, excess) if excess else 0.0
    check.p = 1 - NormalDist().cdf(z)
    return check


def _correct_for_their_number(checks: list[GateCheck]) -> None:
    """Holm's step-down procedure: the smallest p against alpha / m, the next against alpha / (m - 1), …"""
    still_failing = True
    for step, check in enumerate(sorted(checks, key=lambda one: one.p)):
        level = ALPHA / (len(checks) - step)
        check.limit = check.tolerance + NormalDist().inv_cdf(1 - level) * check.error
        still_failing = still_failing and check.p < level
        check.passed = not still_failing


def _floor_check(floor: Floor, value: float) -> GateCheck:
    passed = value >= floor.bound if floor.at_least else value <= floor.bound
    kind = "floor" if floor.at_least else "ceiling"
    return GateCheck(f"{kind}.{floor.figure}", floor.title, kind, passed, candidate=value, champion=floor.bound)


def _best_check(name: str, whose: str, accuracy: float, candidate: EvalResult) -> GateCheck:
    value = candidate.figures["accuracy"]
    check = GateCheck(f"best.{name}", f"Accuracy ({name}) against {whose}, the best so far", "best")
    check.candidate, check.champion, check.n = value, accuracy, len(candidate.right)
    allowance = BEST_EVER_TOLERANCE[name]
    check.loss, check.tolerance, check.limit = accuracy - value, allowance, allowance
    check.passed = check.loss <= allowance
    return check


def _reason(check: GateCheck) -> str:
    if check.kind in ("floor", "ceiling"):
        word = "below" if check.kind == "floor" else "above"
        return f"{check.title}: {_percent(check.candidate)} is {word} the bound of {_percent(check.champion)}."
    if check.kind == "labels":
        return f"{check.title}: {check.lost} of {check.n}. Have them looked at a second time, or force it."
    figures = f"{_percent(check.candidate)} where it was {_percent(check.champion)}"
    if check.name.startswith("brier."):
        figures = f"{check.candidate:.4f} where it was {check.champion:.4f}"
    if check.kind == "best":
        return f"{check.title}: {figures}; at most {_percent(check.limit)} less is allowed."
    return (
        f"{check.title}: {figures} ({check.lost} lost, {check.won} won of {check.n}); "
        f"a loss of at most {_percent(check.limit)} is within tolerance and noise."
    )


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
