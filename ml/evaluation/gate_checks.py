"""A check of the promotion gate, the paired test behind most checks, and Holm's correction for multiple tests."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np

# A single check fails at two standard errors beyond its tolerance. Holm's procedure shares this error rate.
STANDARD_ERRORS = 2.0
ALPHA = 1 - NormalDist().cdf(STANDARD_ERRORS)
# With fewer images the check is shown but does not decide.
MIN_IMAGES = 20
# Keys of stored checks that differ from the field names of `GateCheck`.
STORED_KEYS = {"regressions": "lost", "improvements": "won"}


@dataclass
class GateCheck:
    """One check of the gate and its figures. `to_json` gives the stored form.

    Attributes:
        name: "validation", "validation.7", "brier.validation", "balance", "floor.…", "best.…".
        title: display name.
        kind: paired, floor, ceiling, best, agreement or labels.
        passed: whether the candidate passes this check.
        candidate: metric of the candidate (accuracy, share, Brier score, …).
        champion: metric of the champion, or the bound.
        n: number of images.
        regressions: number of images that only the champion predicts correctly.
        improvements: number of images that only the candidate predicts correctly.
        loss: how much worse the candidate is (negative: better), as a share.
        error: standard error of the loss.
        tolerance: allowed loss besides noise.
        limit: largest allowed loss, including tolerance and standard errors.
        p: p-value of the one-sided test that the loss exceeds the tolerance.
        decides: False if there are too few images.
    """

    name: str
    title: str
    kind: str
    passed: bool = True
    candidate: float = 0.0
    champion: float = 0.0
    n: int = 0
    regressions: int = 0
    improvements: int = 0
    loss: float = 0.0
    error: float = 0.0
    tolerance: float = 0.0
    limit: float = 0.0
    p: float = 1.0
    decides: bool = True

    def to_json(self) -> dict[str, object]:
        """Return the stored form. `STORED_KEYS` keeps the keys that stored versions and the API use."""
        return {STORED_KEYS.get(name, name): value for name, value in asdict(self).items()}


def paired_test(
    name: str,
    title: str,
    difference: np.ndarray,
    clusters: np.ndarray,
    tolerance: float,
    *,
    shares: tuple[np.ndarray, np.ndarray],
) -> GateCheck:
    """Run one paired test, without the correction for multiple tests.

    Args:
        name: name of the check.
        title: display name of the check.
        difference: (N,) how much worse the candidate did on each image: -1, 0 or 1 for right and wrong predictions.
        clusters: (N,) images with the same number count as one piece of evidence.
        tolerance: allowed loss besides noise.
        shares: per-image metric (N,) of the champion and of the candidate.
    """
    n = len(difference)
    champion, candidate = shares
    check = GateCheck(name, title, "paired", n=n, tolerance=tolerance, decides=n >= MIN_IMAGES)
    if n == 0:
        return check
    check.champion, check.candidate = float(champion.mean()), float(candidate.mean())
    check.regressions, check.improvements = int((difference > 0.5).sum()), int((difference < -0.5).sum())
    check.loss = float(difference.mean())
    _, number = np.unique(clusters, return_inverse=True)
    sums = np.bincount(number, weights=difference)
    # For right and wrong this is McNemar's standard error, sqrt(regressions + improvements) / n. The added 1 keeps the
    # error above zero when the models never disagree.
    is_binary = bool(np.isin(difference, (-1, 0, 1)).all())
    check.error = math.sqrt(float((sums**2).sum()) + (1.0 if is_binary else 0.0)) / n
    excess = check.loss - tolerance
    z = excess / check.error if check.error else math.copysign(math.inf, excess) if excess else 0.0
    check.p = 1 - NormalDist().cdf(z)
    return check


def apply_holm_correction(checks: list[GateCheck]) -> None:
    """Apply Holm's step-down procedure and set `limit` and `passed`.

    The smallest p-value is compared with alpha / m, the next with alpha / (m - 1), and so on.
    """
    still_failing = True
    for step, check in enumerate(sorted(checks, key=lambda check: check.p)):
        level = ALPHA / (len(checks) - step)
        check.limit = check.tolerance + NormalDist().inv_cdf(1 - level) * check.error
        still_failing = still_failing and check.p < level
        check.passed = not still_failing
