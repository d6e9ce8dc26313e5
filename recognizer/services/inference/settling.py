"""The statements of a batch of answers: what is asked of the database before the forward pass, and written after it.

Plain SQL, the same on SQLite and PostgreSQL: to have Django put such statements together anew for each batch took more
than the model, SQLite and Redis together.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from recognizer.models import SubmissionState


class Row(NamedTuple):
    """Of a submission what the model needs: 28x28 uint8, row by row, and the evidence about the ink."""

    pk: int
    pixels: bytes
    ink: Mapping
    preprocessing_version: int


class Said(NamedTuple):
    """A prediction to be: the columns of the model `Prediction`, but for the id, which the database gives."""

    submission_id: int
    version_id: int
    preprocessing_version: int
    created: datetime
    probabilities: Sequence[float]
    digit: int
    certainty: float
    runner_up: int
    energy: float
    doubt: float
    verdict: str
    milliseconds: float


PARAMETERS = f"({', '.join(['%s'] * len(Said._fields))})"
# The same model said the same of the same pixels before: that row stays. DO NOTHING would not tell its id, and on
# SQLite it would also swallow a row that breaks another constraint.
INSERT_PREDICTIONS = f"""
    INSERT INTO recognizer_prediction ({", ".join(Said._fields)}) VALUES {{}}
    ON CONFLICT (submission_id, version_id, preprocessing_version)
    DO UPDATE SET preprocessing_version = excluded.preprocessing_version
    RETURNING submission_id, id
"""  # noqa: S608 - the columns above
# What lists and the review queue need of the latest answer, beside the submission's own columns.
UPDATE_SUBMISSION = """
    UPDATE recognizer_submission SET
        state = %s, latest_prediction_id = %s, doubt = %s, digit = %s, certainty = %s, verdict = %s, answered_by = %s,
        models_disagree = EXISTS (
            SELECT 1 FROM recognizer_prediction p WHERE p.submission_id = recognizer_submission.id AND p.digit <> %s
        )
    WHERE id = %s
"""


def read(ids: Sequence[int], state: SubmissionState) -> list[Row]:
    """Those of the submissions that are in `state`."""
    places = ", ".join(["%s"] * len(ids))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, pixels, ink, preprocessing_version FROM recognizer_submission "  # noqa: S608 - places only
            f"WHERE state = %s AND id IN ({places})",
            [state.value, *ids],
        )
        found = cursor.fetchall()
    return [Row(pk, bytes(pixels), json.loads(ink), version) for pk, pixels, ink, version in found]


def write(said: Sequence[Said], version_number: int) -> dict[int, int]:
    """Store predictions of one model version and bring their submissions up to date; called in a transaction.

    Returns:
        For each submission the id of its prediction.

    Raises:
        DataError, IntegrityError: the database refuses one of them.
    """
    if not said:
        return {}
    adapt = connection.ops
    parameters: list[object] = []
    for one in said:
        parameters += one._replace(
            created=adapt.adapt_datetimefield_value(one.created),
            probabilities=adapt.adapt_json_value(one.probabilities, None),
        )
    with connection.cursor() as cursor:
        cursor.execute(INSERT_PREDICTIONS.format(", ".join([PARAMETERS] * len(said))), parameters)
        ids = dict(cursor.fetchall())
        cursor.executemany(
            UPDATE_SUBMISSION,
            [
                (
                    *(SubmissionState.PREDICTED.value, ids[one.submission_id], one.doubt, one.digit, one.certainty),
                    *(one.verdict, version_number, one.digit, one.submission_id),
                )
                for one in said
            ],
        )
    return ids
