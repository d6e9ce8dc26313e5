"""Lattice: the best sequence of candidates that covers the pieces of a line, by dynamic programming (Viterbi)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.numbers.candidates import Candidate
    from ml.numbers.pieces import Piece

# Score of a piece that belongs to no digit: small ones are specks and marks, those at the edge of the image may be
# remains of a frame, and a large one is only left out if nothing else fits.
_SKIP_SMALL, _SKIP_EDGE, _SKIP_LARGE = -1.2, -3.0, -9.0
_LARGE_PIECE, _LARGE_WIDTH, _LARGE_AREA = 0.45, 0.6, 0.3
# Two crossing digits share a piece, if it is narrow and both look like digits.
_SHARED_SCORE, _MAX_SHARED_ENERGY, _MAX_SHARED_WIDTH = -0.5, -3.4, 0.5


class ScoredCandidate(NamedTuple):
    """A candidate with the model's opinion: (10,) probabilities, energy, P(valid), and its score in the lattice."""

    candidate: Candidate
    probabilities: np.ndarray
    energy: float
    valid: float
    score: float


class Path(NamedTuple):
    """The chosen candidates, left to right, and their mean score: 0 is perfect."""

    digits: list[ScoredCandidate]
    score: float


class _Step(NamedTuple):
    start: int
    digit: ScoredCandidate | None


def find_best_path(pieces: Sequence[Piece], scored: Sequence[ScoredCandidate], digit_height: float) -> Path:
    """Return the best sequence of candidates. Scores are weighted by ink, so that more digits are no better."""
    by_first: dict[int, list[ScoredCandidate]] = {}
    for item in scored:
        by_first.setdefault(item.candidate.first, []).append(item)
    mean_area = float(np.mean([piece.area for piece in pieces if piece.box[3] > 0.5 * digit_height] or [1]))
    best = [0.0] + [-np.inf] * len(pieces)
    steps: list[_Step | None] = [None] * (len(pieces) + 1)

    def offer(end: int, score: float, step: _Step) -> None:
        if score > best[end]:
            best[end], steps[end] = score, step

    for i, piece in enumerate(pieces):
        if best[i] == -np.inf:
            continue
        offer(i + 1, best[i] + _skip_score(piece, digit_height, mean_area), _Step(i, None))
        options = by_first.get(i, []) + _sharing(pieces, i, by_first, steps[i], digit_height)
        for item in options:
            penalty = _SHARED_SCORE if item.candidate.first < i else 0.0
            score = best[i] + item.score * item.candidate.area / mean_area + penalty
            offer(item.candidate.last + 1, score, _Step(i, item))
    digits, end = [], len(pieces)
    while end > 0 and (step := steps[end]) is not None:
        if step.digit is not None:
            digits.append(step.digit)
        end = step.start
    total = sum(piece.area for piece in pieces) / mean_area
    return Path(digits[::-1], best[-1] / max(1.0, total))


def _skip_score(piece: Piece, digit_height: float, mean_area: float) -> float:
    is_large = piece.box[3] > _LARGE_PIECE * digit_height or (
        piece.box[2] > _LARGE_WIDTH * digit_height and piece.area > _LARGE_AREA * mean_area
    )
    score = _SKIP_LARGE if is_large else _SKIP_SMALL
    if piece.touches_edge:
        score = max(score, _SKIP_EDGE)
    return score if is_large else score * piece.area / mean_area


def _sharing(
    pieces: Sequence[Piece],
    i: int,
    by_first: dict[int, list[ScoredCandidate]],
    step: _Step | None,
    digit_height: float,
) -> list[ScoredCandidate]:
    """Return candidates that begin with the last piece of the digit before: a crossing belongs to both digits."""
    if i == 0 or step is None or step.digit is None:
        return []
    shared, before = pieces[i - 1], step.digit
    is_narrow = shared.box[2] < _MAX_SHARED_WIDTH * digit_height and shared.component == pieces[i].component
    is_run = before.candidate.first < before.candidate.last
    if not is_narrow or not is_run or before.energy > _MAX_SHARED_ENERGY:
        return []
    return [
        item
        for item in by_first.get(i - 1, [])
        if item.candidate.last > i - 1 and item.candidate.components == 1 and item.energy <= _MAX_SHARED_ENERGY
    ]
