"""The confusion matrix of settled submissions: what they show against what one model version read."""

from dataclasses import dataclass

from django.db.models import Count, Exists, F, OuterRef

from recognizer.models import DIGITS, ModelVersion, Prediction, Submission, TruthState


@dataclass(frozen=True, slots=True)
class Matrix:
    """`cells[truth][digit]`: how many settled submissions that show `truth` were read as `digit`."""

    version: int
    cells: list[list[int]]

    @property
    def total(self) -> int:
        return sum(map(sum, self.cells))

    @property
    def right(self) -> int:
        return sum(self.cells[digit][digit] for digit in range(10))


def matrix_for_version(version: ModelVersion) -> Matrix:
    """Of every settled submission that shows a digit and that `version` read in the form in which it is kept now."""
    settled = Submission.objects.filter(truth_state=TruthState.SETTLED, truth__in=DIGITS).order_by()
    # Most were answered by that version last, and say so themselves.
    last = settled.filter(answered_by=version.number).values_list("truth", "digit")
    earlier = settled.exclude(answered_by=version.number).filter(
        predictions__version=version, predictions__preprocessing_version=F("preprocessing_version")
    )
    cells = [[0] * 10 for _ in range(10)]
    for rows in (last, earlier.values_list("truth", "predictions__digit")):
        for truth, digit, count in rows.annotate(count=Count("id")):
            cells[int(truth)][digit] += count
    return Matrix(version.number, cells)


def parse_cell(*, version: int, digit: int) -> Exists:
    """That version number `version` read a submission, in the form in which it is kept now, as `digit`."""
    return Exists(
        Prediction.objects.filter(
            submission=OuterRef("pk"),
            preprocessing_version=OuterRef("preprocessing_version"),
            version__number=version,
            digit=digit,
        )
    )
