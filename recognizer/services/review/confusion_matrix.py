"""Confusion matrix of a model version over submissions with a settled label."""

from dataclasses import dataclass

from django.db.models import Count, Exists, F, OuterRef

from recognizer.models import ModelVersion, Prediction, Submission, as_crop_text


@dataclass(frozen=True, slots=True)
class Matrix:
    """A confusion matrix.

    Attributes:
        version: Number of the model version.
        cells: 10 rows of 10 counts; `cells[truth][digit]` is the number of submissions with the settled label `truth`
            that were predicted as `digit`.
    """

    version: int
    cells: list[list[int]]

    @property
    def total(self) -> int:
        """Number of submissions."""
        return sum(map(sum, self.cells))

    @property
    def right(self) -> int:
        """Number of correct predictions."""
        return sum(self.cells[digit][digit] for digit in range(10))


def matrix_for_version(version: ModelVersion) -> Matrix:
    """Count all submissions with a settled digit whose current crop `version` predicted with current preprocessing."""
    settled = Submission.objects.settled().digits().order_by()
    # For most submissions this is the latest prediction, whose columns are on the submission itself.
    last = settled.filter(answered_by=version.number).values_list("truth", "digit")
    earlier = settled.exclude(answered_by=version.number).filter(
        predictions__version=version,
        predictions__preprocessing_version=F("preprocessing_version"),
        predictions__crop=as_crop_text(F("crop")),
    )
    cells = [[0] * 10 for _ in range(10)]
    for rows in (last, earlier.values_list("truth", "predictions__digit")):
        for truth, digit, count in rows.annotate(count=Count("id")):
            cells[int(truth)][digit] += count
    return Matrix(version.number, cells)


def parse_cell(*, version: int, digit: int) -> Exists:
    """Return a filter for submissions whose current crop a version predicted as `digit` with current preprocessing.

    Args:
        version: Number of the model version.
        digit: The predicted digit.
    """
    return Exists(
        Prediction.objects.filter(
            submission=OuterRef("pk"),
            preprocessing_version=OuterRef("preprocessing_version"),
            crop=as_crop_text(OuterRef("crop")),
            version__number=version,
            digit=digit,
        )
    )
