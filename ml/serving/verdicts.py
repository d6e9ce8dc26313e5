"""Verdicts on an image, as stored in the database and shown in the API, on pages and on the command line."""

from enum import StrEnum


class Verdict(StrEnum):
    """Quality of the answer to one image. Every verdict except BLANK comes with a best guess."""

    SURE = "sure"
    UNSURE = "unsure"
    NOT_A_DIGIT = "not_a_digit"
    SEVERAL = "several"
    BLANK = "blank"
