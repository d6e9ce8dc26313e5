"""The one list of verdicts on a picture, used by the database, the JSON, the pages and the command line."""

from enum import StrEnum


class Verdict(StrEnum):
    """What the answer to one picture is worth. Every verdict but BLANK still comes with a best guess."""

    SURE = "sure"
    UNSURE = "unsure"
    NOT_A_DIGIT = "not_a_digit"
    SEVERAL = "several"
    BLANK = "blank"
