"""Results of predictions: their encoding for Redis, and how a submission in memory gets them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS

from recognizer.models import ModelVersion, Prediction, Submission, SubmissionState

from .statements import PredictionRecord

# The encoding of a prediction is a JSON list: these columns, in the field order that `from_db` expects, and the number
# of the model version. A failure is `{"failure": reason}`.
COLUMNS = ("id", *PredictionRecord._fields)
CREATED = COLUMNS.index("created")
_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """A prediction that was stored.

    Attributes:
        pk: Primary key of its row.
        record: Its other columns.
        version_number: Number of the model version.
    """

    pk: int
    record: PredictionRecord
    version_number: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A submission that cannot be predicted, with the reason that visitors see."""

    reason: str


Result = StoredPrediction | Failure


def encode_result(result: Result) -> bytes:
    """Encode a result for `apply_result`."""
    if isinstance(result, Failure):
        return _encode({"failure": result.reason}).encode()
    columns: list[object] = [result.pk, *result.record, result.version_number]
    columns[CREATED] = result.record.created.isoformat()
    return _encode(columns).encode()


def apply_result(submission: Submission, encoded: bytes) -> None:
    """Update a submission with an encoded result, without a query."""
    content = json.loads(encoded)
    if isinstance(content, dict):
        submission.state, submission.failure = SubmissionState.FAILED, content["failure"]
        return
    *columns, version_number = content
    columns[CREATED] = datetime.fromisoformat(columns[CREATED])
    prediction = Prediction.from_db(DEFAULT_DB_ALIAS, COLUMNS, columns)
    # All fields but the number are deferred.
    prediction.version = ModelVersion.from_db(
        DEFAULT_DB_ALIAS, ("id", "number"), (prediction.version_id, version_number)
    )
    _attach(submission, prediction)


def refresh_from_database(submissions: Sequence[Submission]) -> None:
    """Update submissions with their results in the database. Submissions that were deleted stay as they are."""
    rows = Submission.objects.filter(pk__in=[submission.pk for submission in submissions])
    stored = {row["pk"]: row for row in rows.values("pk", "state", "failure", "latest_prediction_id")}
    latest = [row["latest_prediction_id"] for row in stored.values() if row["state"] == SubmissionState.PREDICTED]
    predictions = Prediction.objects.select_related("version").in_bulk(latest) if latest else {}
    for submission in submissions:
        if submission.pk not in stored:
            continue
        row = stored[submission.pk]
        prediction = predictions.get(row["latest_prediction_id"])
        if prediction is not None:
            _attach(submission, prediction)
        elif row["state"] != SubmissionState.PREDICTED:
            submission.state, submission.failure = SubmissionState(row["state"]), row["failure"]


def _attach(submission: Submission, prediction: Prediction) -> None:
    prediction.submission = submission
    submission.state, submission.doubt = SubmissionState.PREDICTED, prediction.doubt
    submission.latest_prediction = prediction
