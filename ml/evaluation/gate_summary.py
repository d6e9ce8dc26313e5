"""Human-readable summary of a gate decision.

`recognizer.services.training` stores it with the version; pages, the API and the run's log show it. The verdict
"passed" alone would hide that most candidates that pass cannot be distinguished from the champion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.evaluation.gate import BALANCE, HOLDOUT
from ml.evaluation.gate_checks import MIN_IMAGES, STANDARD_ERRORS, GateCheck

if TYPE_CHECKING:
    from collections.abc import Sequence


def summarize(checks: Sequence[GateCheck]) -> list[str]:
    """Summarize a gate decision.

    Args:
        checks: all checks of the gate.

    Returns:
        Sentences: first the outcome, then the results on the site's holdout, on the frozen digits and on non-digits.
    """
    by_name = {check.name: check for check in checks}
    holdout, balance, non_digits = (by_name.get(name) for name in (HOLDOUT, BALANCE, "non_digits"))
    failed = {check.kind for check in checks if not check.passed}
    sentences = [_outcome(holdout, balance, non_digits, failed), _holdout_sentence(holdout)]
    if balance is not None:
        sentences.append(
            f"Of {balance.n:,} frozen digits (clean, distorted, drawn, photographed) it lost "
            f"{balance.regressions} and won {balance.improvements}: {_difference(balance)}."
        )
    if non_digits is not None:
        now, before = (f"{share * 100:.1f} %" for share in (non_digits.candidate, non_digits.champion))
        sentences.append(f"It refuses {now} of what is no digit, where {before} was refused.")
    return sentences


def _outcome(
    holdout: GateCheck | None, balance: GateCheck | None, non_digits: GateCheck | None, failed: set[str]
) -> str:
    if failed == {"labels"}:
        return "Some of the labels that it learned must be looked at a second time."
    if failed:
        return "It is worse than the gate allows."
    if holdout is not None and holdout.loss < 0:
        gain = "A gain is shown" if _is_certain(holdout) else "A gain is seen, which may be chance"
    else:
        gain = "No gain could be shown"
    drawbacks = []
    if balance is not None and balance.loss > 0 and _is_certain(balance):
        drawbacks.append("some frozen digits were lost for it")
    if non_digits is not None and non_digits.loss > 0 and _is_certain(non_digits):
        drawbacks.append("a little less of what is no digit is refused")
    return f"{gain}; {' and '.join(drawbacks) or 'nothing got worse beyond noise'}."


def _holdout_sentence(holdout: GateCheck | None) -> str:
    if holdout is None or not holdout.n:
        return "The site's holdout holds no settled digit yet, so a gain could not be shown."
    settled = f"the {holdout.n} settled digit{'s' if holdout.n > 1 else ''} of the site's holdout"
    few = "" if holdout.decides else f"; fewer than {MIN_IMAGES} decide nothing"
    if not holdout.regressions and not holdout.improvements:
        return f"Of {settled} both read the same ones right{few}."
    return f"Of {settled} it lost {holdout.regressions} and won {holdout.improvements}: {_difference(holdout)}{few}."


def _difference(check: GateCheck) -> str:
    if not check.loss:
        return "no difference"
    word = "loss" if check.loss > 0 else "gain"
    return f"a {word}" if _is_certain(check) else f"a {word} within noise"


def _is_certain(check: GateCheck) -> bool:
    """Return whether the difference exceeds two standard errors."""
    return abs(check.loss) > STANDARD_ERRORS * check.error
