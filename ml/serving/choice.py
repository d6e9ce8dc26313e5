"""Choice of one reading of an image by the energies that the model gives to its readings.

Preprocessing proposes readings (`ml.readings`), the model chooses: a reading that looks more like a digit has a lower
energy. Every kind of further reading has a handicap, so that the plain one is kept unless another is clearly better.
See docs/adr/0017-the-model-chooses-the-reading.md.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ml.readings import ReadingKind
from ml.serving.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.readings import Reading
    from ml.serving.bundle import Manifest
    from ml.serving.verdicts import Answer

# Energy by which a further reading must be below the plain one. Stored in each bundle that is exported. A mark is
# hardly ever found by chance, so that the reading without it wins even if its energy is a little higher.
HANDICAPS: Mapping[str, float] = {
    ReadingKind.PADDED: 0.15,
    ReadingKind.LINES: 0.15,
    ReadingKind.UNMARKED: -0.3,
    ReadingKind.SHEET: 0.3,
    ReadingKind.FILLED: 0.0,
}
# A sure answer is contradicted by a reading that shows another digit with an energy up to this value above its own: a
# circled 1 is also a slashed 0.
MAX_CONTRADICTION = 1.5
# Weight of such a sure answer in the probabilities; the contradicting one has the rest. Seven of ten are right.
CONTRADICTED_WEIGHT = 0.7


def choose_answer(readings: Sequence[Reading], answers: Sequence[Answer], manifest: Manifest) -> Answer:
    """Return the answer to an image.

    It is the answer to the reading with the lowest sum of energy and handicap; blank readings have an infinite energy.
    If that answer is unsure, it is replaced by a sure answer with the same digit, if there is one: a padded image shows
    that the ink of a tight crop is complete. A sure answer that another reading contradicts becomes unsure.

    Args:
        readings: the readings of the image, the plain one first.
        answers: the answer to each reading that the model may choose, with its index in `readings`.
        manifest: handicaps and thresholds.
    """
    handicaps = manifest.readings or {}
    costs = [
        math.inf
        if answer.verdict is Verdict.BLANK
        else answer.energy + handicaps.get(readings[answer.reading].kind, 0.0)
        for answer in answers
    ]
    answer = answers[costs.index(min(costs))]
    if answer.verdict is Verdict.UNSURE:
        sure = [other for other in answers if other.verdict is Verdict.SURE and other.digit == answer.digit]
        answer = min(sure, key=lambda other: other.energy, default=answer)
    if answer.verdict is Verdict.SURE:
        contradicting = [other for other in answers if _contradicts(other, answer, manifest)]
        if contradicting:
            return _mix(answer, min(contradicting, key=lambda other: other.energy))
    return answer


def _mix(answer: Answer, other: Answer) -> Answer:
    """Return a sure answer as an unsure one, with a share of the probabilities of an answer that contradicts it."""
    pairs = zip(answer.probabilities, other.probabilities, strict=True)
    probabilities = tuple(CONTRADICTED_WEIGHT * own + (1 - CONTRADICTED_WEIGHT) * share for own, share in pairs)
    certainty = probabilities[answer.digit]
    runner_up = max(set(range(len(probabilities))) - {answer.digit}, key=probabilities.__getitem__)
    return replace(
        answer,
        probabilities=probabilities,
        certainty=certainty,
        runner_up=runner_up,
        doubt=max(answer.doubt, 1 - certainty + probabilities[runner_up]),
        verdict=Verdict.UNSURE,
    )


def _contradicts(other: Answer, answer: Answer, manifest: Manifest) -> bool:
    """Return whether another reading looks like another digit, and nearly as much as the chosen one."""
    return (
        other.digit != answer.digit
        and other.verdict is not Verdict.BLANK
        and other.energy <= min(manifest.sure_energy, answer.energy + MAX_CONTRADICTION)
    )
