"""Answers to images and their verdicts, as stored in the database and shown in the API and on pages."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Quality of the answer to one image. Every verdict except BLANK comes with a best guess."""

    SURE = "sure"
    UNSURE = "unsure"
    NOT_A_DIGIT = "not_a_digit"
    SEVERAL = "several"
    BLANK = "blank"


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's answer to one image.

    Attributes:
        probabilities: calibrated probabilities of the digits 0..9; their sum is 1.
        digit: the most probable digit.
        certainty: the probability of `digit`.
        runner_up: the second most probable digit.
        energy: high (up to -2.3) if the image does not look like a digit; see `ml.serving.classifier.energy`.
        doubt: 0..1, higher is more doubtful; orders the review queue.
        verdict: quality of the answer.
        reading: index of the reading of the image that the answer is about; 0 is the plain one.
    """

    probabilities: tuple[float, ...]
    digit: int
    certainty: float
    runner_up: int
    energy: float
    doubt: float
    verdict: Verdict
    reading: int = 0
