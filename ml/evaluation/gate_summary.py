"""What a candidate gained and lost against the champion, in sentences for people.

`recognizer.services.training` keeps them with the version; pages, API and the run's log show them. A gate that only
says "passed" hides that most of what passes could not be told from the champion.
"""

from __future__ import annotations

from collections.abc import Sequence

from ml.evaluation.gate import BALANCE, HOLDOUT, MIN_IMAGES, STANDARD_ERRORS, GateCheck


def summarize(checks: Sequence[GateCheck]) -> list[str]:
    """The outcome in one sentence, then what it rests on: the site's holdout, the frozen digits, non-digits."""
    named = {check.name: check for check in checks}
    holdout, balance, non_digits = (named.get(name) for name in (HOLDOUT, BALANCE, "non_digits"))
    failed = {check.kind for check in checks if not check.passed}
    said = [_outcome(holdout, balance, non_digits, failed), _on_the_holdout(holdout)]
    if balance is not None:
        said.append(
            f"Of {balance.n:,} frozen digits (clean, distorted, drawn, photographed) it lost {balance.lost} and won "
            f"{balance.won}: {_difference(balance)}."
        )
    if non_digits is not None:
        now, before = (f"{share * 100:.1f} %" for share in (non_digits.candidate, non_digits.champion))
        said.append(f"It refuses {now} of what is no digit, where {before} was refused.")
    return said


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
    lost = []
    if balance is not None and balance.loss > 0 and _is_certain(balance):
        lost.append("some frozen digits were lost for it")
    if non_digits is not None and non_digits.loss > 0 and _is_certain(non_digits):
        lost.append("a little less of what is no digit is refused")
    return f"{gain}; {' and '.join(lost) or 'nothing got worse beyond noise'}."


def _on_the_holdout(holdout: GateCheck | None) -> str:
    if holdout is None or not holdout.n:
        return "The site's holdout holds no settled digit yet, so a gain could not be shown."
    settled = f"the {holdout.n} settled digit{'s' if holdout.n > 1 else ''} of the site's holdout"
    few = "" if holdout.decides else f"; fewer than {MIN_IMAGES} decide nothing"
    if not holdout.lost and not holdout.won:
        return f"Of {settled} both read the same ones right{few}."
    return f"Of {settled} it lost {holdout.lost} and won {holdout.won}: {_difference(holdout)}{few}."


def _difference(check: GateCheck) -> str:
    if not check.loss:
        return "no difference"
    word = "loss" if check.loss > 0 else "gain"
    return f"a {word}" if _is_certain(check) else f"a {word} within noise"


def _is_certain(check: GateCheck) -> bool:
    """Beyond two standard errors, for better or worse."""
    return abs(check.loss) > STANDARD_ERRORS * check.error
