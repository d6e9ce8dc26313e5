"""Reading of whole numbers: an image to lines of digits, each with its box, probabilities and verdict.

Components → lines → cuts → pieces → candidates, classified in one batch → lattice. Digits that stay unsure are read a
second time by the single-digit path, in a crop in which their neighbours are painted over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from ml.numbers.candidates import Candidate, list_candidates
from ml.numbers.lattice import ScoredCandidate, find_best_path
from ml.numbers.lines import Line, digits_of, find_lines
from ml.numbers.loops import find_loops
from ml.numbers.page import Box, Page, find_pages
from ml.numbers.pieces import crop_labels, cut_line, union
from ml.numbers.validity import BASE_VALIDITY, measure
from ml.preprocessing import background, prepare_image
from ml.serving.classifier import energy, softmax
from ml.serving.verdicts import Verdict

if TYPE_CHECKING:
    from PIL import Image

    from ml.serving.classifier import Classifier

# Interpretations of the image that are read, if the first is not good, and the least score relative to the first.
_MAX_PAGES, _MIN_RELATIVE_SCORE = 3, 0.35
# A path with at least this score is good enough.
_GOOD_SCORE = -0.12
# Weight of the page's own plausibility in the score of a reading.
_PAGE_WEIGHT = 0.35
# Bounds for hostile input: candidates of one page, and pieces of one line.
MAX_CANDIDATES, MAX_PIECES_PER_LINE = 400, 120
# Digits lower than this, in pixels of the page, are read again in a crop of the larger image.
_MIN_DIGIT_HEIGHT = 60
# A component as tall as a digit and no wider than this is tried as a digit before it is cut.
_MIN_WHOLE_HEIGHT, _MAX_WHOLE_ASPECT = 0.6, 1.15
# A digit with a lower P(valid) is not sure; alone on its line and much lower, it is no digit.
SURE_VALID, _MIN_LONE_VALID = 0.8, 0.02
# Digits, and lines, that are lower than the others are not part of the number.
_MIN_RELATIVE_HEIGHT, _MIN_LINE_HEIGHT = 0.3, 0.45
# The weight of a reading falls by e for each half step of energy above this.
_WEIGHT_ENERGY = -3.4
_REREAD_MARGIN, _REREAD_SIDE = 0.4, 160


@dataclass(frozen=True)
class Digit:
    """One digit of a number.

    Attributes:
        box: left, top, width, height in pixels of the image.
        pixels: uint8 (28, 28), what the model saw.
        probabilities: of the digits 0 to 9.
        valid: probability that the box holds exactly one digit.
        verdict: SURE or UNSURE.
    """

    box: Box
    pixels: np.ndarray
    probabilities: tuple[float, ...]
    valid: float
    verdict: Verdict

    @property
    def digit(self) -> int:
        """The most probable digit."""
        return int(np.argmax(self.probabilities))

    @property
    def certainty(self) -> float:
        """The probability of `digit`."""
        return max(self.probabilities)


@dataclass(frozen=True)
class NumberReading:
    """The digits of an image.

    Attributes:
        lines: the digits of each line, top to bottom, left to right.
        score: plausibility of the segmentation, 0 (perfect) and below.
    """

    lines: tuple[tuple[Digit, ...], ...] = ()
    score: float = -np.inf

    @property
    def digits(self) -> tuple[Digit, ...]:
        """All digits in reading order."""
        return tuple(digit for line in self.lines for digit in line)

    @property
    def text(self) -> str:
        """The digits of each line, the lines joined by line feeds."""
        return "\n".join("".join(str(digit.digit) for digit in line) for line in self.lines)

    @property
    def is_sure(self) -> bool:
        """True if there are digits and all of them are sure."""
        return bool(self.lines) and all(digit.verdict is Verdict.SURE for digit in self.digits)


class _ReadLine(NamedTuple):
    digits: list[ScoredCandidate]
    digit_height: float
    score: float


class _PageReading(NamedTuple):
    """The lines read from a page, and the position of the page in the image: its corner and its scale."""

    page: Page
    piece_map: np.ndarray
    pixels: np.ndarray
    lines: list[_ReadLine]
    score: float
    corner: tuple[int, int]
    scale: float


def read_number(image: Image.Image | np.ndarray, classifier: Classifier) -> NumberReading:
    """Read all digits of an image.

    Args:
        image: mode L, LA, RGB or RGBA, or an array as `ml.serving.images.read` returns it.
        classifier: the model.

    Returns:
        The digits; no lines if nothing was found.
    """
    pixels = background.flatten_alpha(np.asarray(image))
    if min(pixels.shape[:2]) < 3:
        return NumberReading()
    best = _read_pages(pixels, classifier)
    if best is None:
        return NumberReading()
    if best.page.digit_height < _MIN_DIGIT_HEIGHT and (close_up := _crop_close_up(best)) is not None:
        part, corner = close_up
        detailed = _read_pages(part, classifier)
        if detailed is not None and detailed.score > best.score:
            best = detailed._replace(corner=corner)
    lines = [_finish_line(best, line, classifier) for line in best.lines if _is_of_number(line, best)]
    return NumberReading(tuple(line for line in lines if line), best.score)


def _read_pages(pixels: np.ndarray, classifier: Classifier) -> _PageReading | None:
    """Return the most plausible reading over the interpretations of an image."""
    pages, scale = find_pages(pixels)
    best: _PageReading | None = None
    for page in pages[:_MAX_PAGES]:
        if page.score < _MIN_RELATIVE_SCORE * pages[0].score:
            break
        piece_map = np.zeros(page.labels.shape, np.int32)
        lines = _read_lines(page, piece_map, classifier)
        if not lines:
            continue
        areas = [sum(item.candidate.area for item in line.digits) for line in lines]
        score = float(np.average([line.score for line in lines], weights=areas))
        score += _PAGE_WEIGHT * float(np.log(max(page.score, 1e-3)))
        if best is None or score > best.score:
            best = _PageReading(page, piece_map, pixels, lines, score, (0, 0), scale)
        if score > _GOOD_SCORE:
            break
    return best


def _read_lines(page: Page, piece_map: np.ndarray, classifier: Classifier) -> list[_ReadLine]:
    result, budget = [], MAX_CANDIDATES
    for line in find_lines(page):
        tall = digits_of(line, page.digit_height)
        if not tall:
            continue
        digit_height = float(np.median([part.height for part in tall]))
        middle = float(np.median([part.centre[1] for part in tall]))
        whole = _find_whole_digits(page, line, digit_height, classifier)
        pieces = cut_line(page, line, piece_map, digit_height, whole)
        if len(pieces) > MAX_PIECES_PER_LINE:
            continue
        candidates = list_candidates(page, pieces, piece_map, digit_height)
        candidates += find_loops(page, pieces, piece_map, digit_height)
        budget -= len(candidates)
        if budget < 0:
            break
        if candidates:
            scored = _score(candidates, classifier, digit_height, middle)
            path = find_best_path(pieces, scored, digit_height)
            if path.digits:
                result.append(_ReadLine(path.digits, digit_height, path.score))
    return result


def _find_whole_digits(page: Page, line: Line, digit_height: float, classifier: Classifier) -> set[int]:
    """Return the labels of components that the model is sure about as they are: they need no cuts."""
    labels, crops = [], []
    for part in line:
        _, _, width, height = part.box
        if height < _MIN_WHOLE_HEIGHT * digit_height or width > _MAX_WHOLE_ASPECT * height:
            continue
        crop = crop_labels(page, page.labels, [part.label], part.box)
        if crop is not None:
            labels.append(part.label)
            crops.append(crop.pixels)
    if not crops:
        return set()
    answers = classifier.answer(np.stack(crops))
    return {label for label, answer in zip(labels, answers, strict=True) if answer.verdict is Verdict.SURE}


def _score(
    candidates: list[Candidate], classifier: Classifier, digit_height: float, middle: float
) -> list[ScoredCandidate]:
    """Classify candidates in one batch. The score is log P(valid) plus half of the digit's log probability."""
    logits = classifier.logits(np.stack([candidate.pixels for candidate in candidates]))
    probabilities = softmax(logits, classifier.manifest.temperature)
    energies = energy(logits)
    margins = _margins(probabilities)
    features = np.array(
        [
            measure(candidate, float(value), float(margin), digit_height, middle)
            for candidate, value, margin in zip(candidates, energies, margins, strict=True)
        ]
    )
    valid = BASE_VALIDITY.probability(features, np.array([candidate.gap for candidate in candidates]))
    scores = np.log(np.maximum(valid, 1e-6)) + 0.5 * np.log(probabilities.max(axis=1))
    rows = zip(candidates, probabilities, energies.tolist(), valid.tolist(), scores.tolist(), strict=True)
    return [ScoredCandidate(*row) for row in rows]


def _margins(probabilities: np.ndarray) -> np.ndarray:
    """Return the difference of the two highest probabilities of each row, (N,)."""
    ordered = np.sort(probabilities, axis=1)
    margins: np.ndarray = ordered[:, -1] - ordered[:, -2]
    return margins


def _crop_close_up(reading: _PageReading) -> tuple[np.ndarray, tuple[int, int]] | None:
    """Crop the digits from the image; None if they fill most of it.

    Returns:
        The crop, and its left and top in the image.
    """
    page = reading.page
    boxes = [
        part.box for line in find_lines(page) for part in digits_of(line, page.digit_height) if not part.touches_edge
    ]
    if not boxes:
        return None
    left, top, width, height = (value * reading.scale for value in union(boxes))
    margin = 0.8 * page.digit_height * reading.scale
    x, y = max(0, int(left - margin)), max(0, int(top - margin))
    part = reading.pixels[y : int(top + height + margin) + 1, x : int(left + width + margin) + 1]
    if max(part.shape[:2]) > 0.6 * max(reading.pixels.shape[:2]) or min(part.shape[:2]) < 8:
        return None
    return np.ascontiguousarray(part), (x, y)


def _is_of_number(line: _ReadLine, reading: _PageReading) -> bool:
    """Return whether a line is neither much lower than the others nor a lone mark or a shadow."""
    longest = max(len(other.digits) for other in reading.lines)
    is_alone = len(line.digits) == 1 and longest > 1
    is_mark = is_alone and (line.digits[0].valid < _MIN_LONE_VALID or _touches_edge(line.digits[0], reading.page))
    return line.digit_height >= _MIN_LINE_HEIGHT * reading.page.digit_height and not is_mark


def _touches_edge(item: ScoredCandidate, page: Page) -> bool:
    left, top, width, height = item.candidate.box
    rows, columns = page.labels.shape
    return left <= 1 or top <= 1 or left + width >= columns - 1 or top + height >= rows - 1


def _finish_line(reading: _PageReading, line: _ReadLine, classifier: Classifier) -> tuple[Digit, ...]:
    """Read unsure digits again and convert all of them."""
    digits = []
    for item in line.digits:
        left, top, width, height = item.candidate.box
        if height < _MIN_RELATIVE_HEIGHT * line.digit_height:
            continue
        probabilities, value = item.probabilities, item.energy
        if not _is_sure(probabilities, value, item.valid, classifier):
            probabilities, value = _read_again(reading, item, classifier)
        is_sure = _is_sure(probabilities, value, item.valid, classifier)
        x, y = reading.corner
        scale = reading.scale
        digits.append(
            Digit(
                box=(int(left * scale) + x, int(top * scale) + y, int(width * scale), int(height * scale)),
                pixels=item.candidate.pixels,
                probabilities=tuple(probabilities.tolist()),
                valid=item.valid,
                verdict=Verdict.SURE if is_sure else Verdict.UNSURE,
            )
        )
    return tuple(digits)


def _is_sure(probabilities: np.ndarray, value: float, valid: float, classifier: Classifier) -> bool:
    manifest = classifier.manifest
    margin = float(_margins(probabilities[None])[0])
    return margin >= manifest.sure_margin and value <= manifest.sure_energy and valid > SURE_VALID


def _read_again(reading: _PageReading, item: ScoredCandidate, classifier: Classifier) -> tuple[np.ndarray, float]:
    """Read one digit by the single-digit path, and mix both answers by their energies.

    Returns:
        (10,) probabilities and the energy; those of the candidate if the second reading finds no single digit.
    """
    unchanged = item.probabilities, item.energy
    crop = _crop_without_neighbours(reading, item.candidate)
    if crop is None:
        return unchanged
    prepared = prepare_image(crop)
    if prepared.blank or prepared.ink["several"] or prepared.ink["dot"]:
        return unchanged
    logits = classifier.logits(prepared.pixels[None])
    value = float(energy(logits)[0])
    if classifier.manifest.refuse_energy < value > item.energy:
        return unchanged
    weights = 1 / (1 + np.exp(2 * (np.array([item.energy, value]) - _WEIGHT_ENERGY)))
    weights /= weights.sum()
    probabilities = softmax(logits, classifier.manifest.temperature)[0]
    mixed = weights[0] * item.probabilities + weights[1] * probabilities
    return mixed, float(weights @ np.array([item.energy, value]))


def _crop_without_neighbours(reading: _PageReading, candidate: Candidate) -> np.ndarray | None:
    """Crop a digit from the image at full size and paint over the ink that is not its own."""
    page, scale = reading.page, reading.scale
    left, top, width, height = candidate.box
    margin = int(_REREAD_MARGIN * max(width, height)) + 2
    x0, y0 = max(0, left - margin), max(0, top - margin)
    x1, y1 = min(page.labels.shape[1], left + width + margin), min(page.labels.shape[0], top + height + margin)
    part = reading.pixels[int(y0 * scale) : int(np.ceil(y1 * scale)), int(x0 * scale) : int(np.ceil(x1 * scale))]
    if min(part.shape[:2]) < 8:
        return None
    own = np.isin(reading.piece_map[y0:y1, x0:x1], candidate.labels)
    other = ((page.labels[y0:y1, x0:x1] > 0) & ~own).astype(np.uint8)
    if not other.any():
        return np.ascontiguousarray(part)
    near_own = cv2.dilate(own.astype(np.uint8), np.ones((2, 2), np.uint8))
    covered = cv2.bitwise_and(cv2.dilate(other, np.ones((3, 3), np.uint8)), 1 - near_own)
    factor = max(1, -(-max(part.shape[:2]) // _REREAD_SIDE))
    size = (max(1, part.shape[1] // factor), max(1, part.shape[0] // factor))
    part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    covered = cv2.resize(covered, size, interpolation=cv2.INTER_NEAREST)
    return cv2.inpaint(np.ascontiguousarray(part), covered, 3, cv2.INPAINT_TELEA)
