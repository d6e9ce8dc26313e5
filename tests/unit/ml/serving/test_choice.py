"""Choice of a reading: the rule, and the classifier's answers to images with several readings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from digitsite.testing.drawings import FIVE, SEVEN, drawing
from ml.preprocessing import prepare_image
from ml.readings import Reading, ReadingKind
from ml.serving import bundle as bundles
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.choice import HANDICAPS, choose_answer
from ml.serving.classifier import Classifier, load_classifier
from ml.serving.verdicts import Answer, Verdict

BUNDLE = bundles.read((BASE_FOLDER / BUNDLE_FILE).read_bytes())
BLANK = np.zeros((28, 28), np.uint8)


def classifier_with(handicaps: dict[str, float] | None) -> Classifier:
    return load_classifier(bundles.write(BUNDLE.model, replace(BUNDLE.manifest, readings=handicaps)))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return classifier_with(dict(HANDICAPS))


@pytest.fixture(scope="module")
def seven() -> np.ndarray:
    return prepare_image(255 - drawing(SEVEN)).pixels


@pytest.fixture(scope="module")
def five() -> np.ndarray:
    return prepare_image(255 - drawing(FIVE)).pixels


@pytest.fixture(scope="module")
def box() -> np.ndarray:
    """Return a box, which is no digit."""
    pixels = BLANK.copy()
    pixels[4:24, 4:24] = 255
    pixels[6:22, 6:22] = 0
    pixels[12:16, 9:19] = 255
    return pixels


MANIFEST = replace(BUNDLE.manifest, readings={"padded": 0.15, "unmarked": 0.3, "sheet": 0.3}, sure_energy=-3.5)


def answer(digit: int, energy: float, verdict: Verdict = Verdict.UNSURE) -> Answer:
    probabilities = tuple(0.91 if i == digit else 0.01 for i in range(10))
    return Answer(probabilities, digit, 0.91, (digit + 1) % 10, energy, 0.1, verdict)


def choose(**answers: Answer) -> Answer:
    """Return the answer to an image, given the answer to its reading of each kind."""
    readings = [reading(ReadingKind(kind)) for kind in answers]
    return choose_answer(readings, [replace(item, reading=i) for i, item in enumerate(answers.values())], MANIFEST)


def reading(kind: ReadingKind, pixels: np.ndarray = BLANK, **ink: bool) -> Reading:
    return Reading(kind, pixels, ink)


@pytest.mark.parametrize(
    ("energies", "selected"),
    [
        ({"plain": -3.0}, 0),
        ({"plain": -3.0, "padded": -3.1}, 0),  # not better by its handicap
        ({"plain": -3.0, "padded": -3.2}, 1),
        ({"plain": -3.0, "padded": -3.6, "unmarked": -3.7}, 1),  # the sum of energy and handicap decides
        ({"plain": -3.0, "padded": -3.6, "unmarked": -3.9}, 2),
    ],
)
def test_further_reading_is_chosen_if_it_is_better_by_its_handicap(energies, selected):
    assert choose(**{kind: answer(7, energy) for kind, energy in energies.items()}).reading == selected


def test_blank_reading_is_not_chosen():
    blank = answer(0, -5.0, Verdict.BLANK)
    assert choose(plain=blank, sheet=answer(7, -1.0)).reading == 1
    assert choose(plain=blank, sheet=blank) == blank


def test_sure_answer_with_the_same_digit_replaces_an_unsure_one():
    unsure, sure = answer(7, -6.0), answer(7, -5.0, Verdict.SURE)
    assert choose(plain=unsure, padded=sure) == replace(sure, reading=1)
    assert choose(plain=unsure, padded=replace(sure, digit=2)) == unsure


@pytest.mark.parametrize("verdict", [Verdict.SEVERAL, Verdict.NOT_A_DIGIT])
def test_sure_answer_does_not_replace_a_verdict_by_features(verdict):
    assert choose(plain=answer(7, -6.0, verdict), padded=answer(7, -5.0, Verdict.SURE)).verdict is verdict


@pytest.mark.parametrize(
    ("digit", "energy", "verdict"),
    [
        (1, -5.0, Verdict.UNSURE),
        (0, -5.0, Verdict.SURE),  # the same digit
        (1, -4.4, Verdict.SURE),  # much less like a digit than the chosen one
    ],
)
def test_sure_answer_is_unsure_if_another_reading_contradicts_it(digit, energy, verdict):
    result = choose(plain=answer(0, -6.0, Verdict.SURE), unmarked=answer(digit, energy))
    assert (result.digit, result.reading, result.verdict) == (0, 0, verdict)


def test_digit_of_the_contradicting_reading_is_the_runner_up():
    sure, other = answer(0, -6.0, Verdict.SURE), answer(7, -5.0)
    result = choose(plain=sure, unmarked=other)
    assert (result.digit, result.runner_up) == (0, 7)
    assert sum(result.probabilities) == pytest.approx(1)
    assert result.certainty == result.probabilities[0] == pytest.approx(0.7 * 0.91 + 0.3 * 0.01)
    assert result.doubt == pytest.approx(1 - (result.probabilities[0] - result.probabilities[7]))


def test_reading_that_does_not_look_like_a_digit_contradicts_nothing():
    assert choose(plain=answer(0, -3.6, Verdict.SURE), unmarked=answer(1, -3.4)).verdict is Verdict.SURE


def test_answer_is_about_the_chosen_reading(classifier, seven, box):
    plain, further = reading(ReadingKind.PLAIN, box, several=True), reading(ReadingKind.UNMARKED, seven)
    (answer,) = classifier.answer_readings([[plain, further]])
    assert answer == replace(classifier.answer(seven[None])[0], reading=1)
    assert (answer.digit, answer.verdict) == (7, Verdict.SURE)
    (answer,) = classifier.answer_readings([[plain, replace(further, ink={"several": True})]])
    assert (answer.reading, answer.verdict) == (1, Verdict.SEVERAL)


def test_images_with_one_reading_are_answered_as_their_pixels(classifier, seven, five, box):
    pixels, ink = np.stack([seven, five, box, BLANK]), [{}, {"doubtful": True}, {}, {}]
    images = [[Reading(ReadingKind.PLAIN, row, features)] for row, features in zip(pixels, ink, strict=True)]
    assert classifier.answer_readings(images) == classifier.answer(pixels, ink)
    assert classifier.answer_readings([]) == []


def test_each_image_of_a_batch_has_its_own_choice(classifier, seven, five, box):
    boxed = [reading(ReadingKind.PLAIN, box), reading(ReadingKind.PADDED), reading(ReadingKind.UNMARKED, five)]
    clean = [reading(ReadingKind.PLAIN, seven), reading(ReadingKind.FILLED, box)]
    answers = classifier.answer_readings([boxed, clean, boxed, [reading(ReadingKind.PLAIN)]] * 6)
    assert [(answer.digit, answer.reading) for answer in answers[:3]] == [(5, 2), (7, 0), (5, 2)]
    assert [answer.reading for answer in answers] == [2, 0, 2, 0] * 6
    assert answers[3].verdict is Verdict.BLANK


def test_reading_of_a_blank_image_is_chosen(classifier, seven):
    (answer,) = classifier.answer_readings([[reading(ReadingKind.PLAIN), reading(ReadingKind.SHEET, seven)]])
    assert (answer.digit, answer.reading) == (7, 1)


@pytest.mark.parametrize("handicaps", [None, {}, {"padded": 0.15}])
def test_kind_without_a_handicap_is_never_chosen(handicaps, seven, box):
    images = [[reading(ReadingKind.PLAIN, box), reading(ReadingKind.UNMARKED, seven)]]
    (answer,) = classifier_with(handicaps).answer_readings(images)
    assert answer.reading == 0


def test_image_without_readings_is_rejected(classifier):
    with pytest.raises(ValueError, match="array"):
        classifier.answer_readings([[]])
