"""Codec of prediction results sent through Redis, and refresh of submissions from the database."""

import json
from collections.abc import Sequence
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS

from recognizer.models import ModelVersion, Prediction, Submission, SubmissionState

from .settling import Said

# A message is a JSON list: these columns of a prediction, in the field order that `from_db` expects, and the number of
# the model version. A failure is `{"failure": reason}`. An empty message tells the waiter to read the row.
COLUMNS = ("id", *Said._fields)
CREATED, DIGIT, VERDICT, MILLISECONDS = map(COLUMNS.index, ("created", "digit", "verdict", "milliseconds"))
_encode = json.JSONEncoder(separators=(",", ":")).encode


def message(pk: int, record: Said, version: ModelVersion) -> bytes:
    """Encode the prediction `pk` as a message for `take`."""
    columns: list[object] = [pk, *record, version.number]
    columns[CREATED] = record.created.isoformat()
    return _encode(columns).encode()


def failure_message(reason: str) -> bytes:
    """Encode a message for `take` that marks the submission as failed."""
    return json.dumps({"failure": reason}).encode()


def summary(sent: bytes) -> tuple[int, str, float] | None:
    """Return digit, verdict and milliseconds of the prediction in a message, or None for a failure."""
    content = json.loads(sent)
    return None if isinstance(content, dict) else (content[DIGIT], content[VERDICT], content[MILLISECONDS])


def take(submission: Submission, sent: bytes) -> Prediction | None:
    """Apply a message to a submission, without a query.

    Returns:
        The prediction in the message, or None for a failure.
    """
    content = json.loads(sent)
    if isinstance(content, dict):
        submission.state, submission.failure = SubmissionState.FAILED, content["failure"]
        return None
    *columns, version_number = content
    columns[CREATED] = datetime.fromisoformat(columns[CREATED])
    prediction = Prediction.from_db(DEFAULT_DB_ALIAS, COLUMNS, columns)
    # All fields but the number are deferred.
    prediction.version = ModelVersion.from_db(
        DEFAULT_DB_ALIAS, ("id", "number"), (prediction.version_id, version_number)
    )
    return _attach(submission, prediction)


def read(submissions: Sequence[Submission]) -> None:
    """Refresh submissions from the database. Submissions that were deleted stay as they are."""
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


def _attach(submission: Submission, prediction: Prediction) -> Prediction:
    prediction.submission = submission
    submission.state, submission.doubt = SubmissionState.PREDICTED, prediction.doubt
    submission.latest_prediction = prediction
    return prediction
