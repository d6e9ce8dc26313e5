"""SQL statements of batch prediction: reading the inputs and writing the predictions.

Plain SQL that works on SQLite and PostgreSQL. See docs/adr/0011-bulk-insert.md.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from ml.readings import Reading, decode_readings
from recognizer.models import SubmissionState


class PendingInput(NamedTuple):
    """The model's input for a submission, encoded as in the columns of `Submission`; the crop as in `Prediction`."""

    pk: int
    pixels: bytes
    ink: Mapping[str, Any]
    further_pixels: bytes
    further_ink: Sequence[Mapping[str, Any]]
    preprocessing_version: int
    crop: str

    @property
    def readings(self) -> list[Reading]:
        """The readings of the image. Raises ValueError if the columns are damaged."""
        return decode_readings(self.pixels, self.ink, self.further_pixels, self.further_ink)


class PredictionRecord(NamedTuple):
    """A new prediction: the columns of the model `Prediction` without the id, which the database assigns."""

    submission_id: int
    version_id: int
    preprocessing_version: int
    crop: str
    created: datetime
    probabilities: Sequence[float]
    digit: int
    certainty: float
    runner_up: int
    energy: float
    doubt: float
    verdict: str
    milliseconds: float
    reading: int


# The columns of `Submission` that preprocessing computes.
INPUT_COLUMNS = [name for name in PendingInput._fields if name not in ("pk", "crop")]
PARAMETERS = f"({', '.join(['%s'] * len(PredictionRecord._fields))})"
# A conflict means that this model predicted the same crop before; that row stays. DO NOTHING would not return its
# id, and on SQLite it would also ignore violations of other constraints.
INSERT_PREDICTIONS = f"""
    INSERT INTO recognizer_prediction ({", ".join(PredictionRecord._fields)}) VALUES {{}}
    ON CONFLICT (submission_id, version_id, preprocessing_version, crop)
    DO UPDATE SET preprocessing_version = excluded.preprocessing_version
    RETURNING submission_id, id
"""  # noqa: S608 - the columns above
# Copies the columns of the latest prediction that lists and the review queue filter and sort by, unless the crop has
# changed since the input was read: the submission waits for the prediction of its new crop then.
UPDATE_SUBMISSION = """
    UPDATE recognizer_submission SET
        state = %s, latest_prediction_id = %s, doubt = %s, digit = %s, certainty = %s, verdict = %s, answered_by = %s,
        models_disagree = EXISTS (
            SELECT 1 FROM recognizer_prediction p WHERE p.submission_id = recognizer_submission.id
            AND p.crop = %s AND p.digit <> %s
        )
    WHERE id = %s AND COALESCE(CAST(crop AS text), '') = %s
"""


def read_inputs(ids: Sequence[int], state: SubmissionState) -> list[PendingInput]:
    """Return the model inputs of the submissions among `ids` that are in `state`."""
    placeholders = ", ".join(["%s"] * len(ids))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, {', '.join(INPUT_COLUMNS)}, crop FROM recognizer_submission "  # noqa: S608 - names and placeholders
            f"WHERE state = %s AND id IN ({placeholders})",
            [state.value, *ids],
        )
        rows = cursor.fetchall()
    return [
        PendingInput(
            pk, bytes(pixels), json.loads(ink), bytes(further_pixels), json.loads(further_ink), version, crop or ""
        )
        for pk, pixels, ink, further_pixels, further_ink, version, crop in rows
    ]


def write_predictions(records: Sequence[PredictionRecord], version_number: int) -> dict[int, int]:
    """Store predictions of one model version and update their submissions. Requires a transaction.

    Args:
        records: The predictions.
        version_number: The number of the model version.

    Returns:
        By submission id, the id of its prediction.

    Raises:
        DataError: The database rejects a value.
        IntegrityError: A row violates a constraint, for example because its submission was deleted.
    """
    if not records:
        return {}
    parameters: list[Any] = []
    for record in records:
        columns = record._asdict()
        columns["created"] = connection.ops.adapt_datetimefield_value(record.created)
        columns["probabilities"] = connection.ops.adapt_json_value(record.probabilities, None)
        parameters += columns.values()
    with connection.cursor() as cursor:
        cursor.execute(INSERT_PREDICTIONS.format(", ".join([PARAMETERS] * len(records))), parameters)
        ids = dict(cursor.fetchall())
        cursor.executemany(
            UPDATE_SUBMISSION,
            [
                (
                    SubmissionState.PREDICTED.value,
                    ids[record.submission_id],
                    record.doubt,
                    record.digit,
                    record.certainty,
                    record.verdict,
                    version_number,
                    record.crop,
                    record.digit,
                    record.submission_id,
                    record.crop,
                )
                for record in records
            ],
        )
    return ids
