"""The two ways in which an answer reaches whoever waits for it: a message that goes through Redis, and the row."""

import json
from collections.abc import Sequence
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS

from recognizer.models import ModelVersion, Prediction, Submission, SubmissionState

from .settling import Said

# A message is a JSON list: these columns of a prediction, in the model's order, which `from_db` goes by, and the number
# of its version; or `{"failure": why}`; or nothing at all, which says: read the row.
COLUMNS = ("id", *Said._fields)
CREATED, DIGIT, VERDICT, MILLISECONDS = map(COLUMNS.index, ("created", "digit", "verdict", "milliseconds"))
_encode = json.JSONEncoder(separators=(",", ":")).encode


def message(pk: int, said: Said, version: ModelVersion) -> bytes:
    """What `take` makes the prediction `pk` of."""
    return _encode([pk, *said._replace(created=said.created.isoformat()), version.number]).encode()


def failure_message(reason: str) -> bytes:
    """What tells `take` that the submission failed."""
    return json.dumps({"failure": reason}).encode()


def summary(sent: bytes) -> tuple[int, str, float] | None:
    """Digit, verdict and milliseconds of an answer that a message carries; None of a failure."""
    given = json.loads(sent)
    return None if isinstance(given, dict) else (given[DIGIT], given[VERDICT], given[MILLISECONDS])


def take(submission: Submission, sent: bytes) -> Prediction | None:
    """The prediction that a message carries, and the submission brought up to date with it, without any query."""
    given = json.loads(sent)
    if isinstance(given, dict):
        submission.state, submission.failure = SubmissionState.FAILED, given["failure"]
        return None
    *columns, version_number = given
    columns[CREATED] = datetime.fromisoformat(columns[CREATED])
    prediction = Prediction.from_db(DEFAULT_DB_ALIAS, COLUMNS, columns)
    # Everything but the number is deferred: read when asked for.
    prediction.version = ModelVersion.from_db(
        DEFAULT_DB_ALIAS, ("id", "number"), (prediction.version_id, version_number)
    )
    return _attach(submission, prediction)


def read(submissions: Sequence[Submission]) -> None:
    """Bring submissions up to date from the database; those that were deleted meanwhile stay as they are."""
    rows = Submission.objects.filter(pk__in=[one.pk for one in submissions])
    stored = {row["pk"]: row for row in rows.values("pk", "state", "failure", "latest_prediction_id")}
    latest = [row["latest_prediction_id"] for row in stored.values() if row["state"] == SubmissionState.PREDICTED]
    predictions = Prediction.objects.select_related("version").in_bulk(latest) if latest else {}
    for one in submissions:
        if one.pk not in stored:
            continue
        row = stored[one.pk]
        prediction = predictions.get(row["latest_prediction_id"])
        if prediction is not None:
            _attach(one, prediction)
        elif row["state"] != SubmissionState.PREDICTED:
            one.state, one.failure = SubmissionState(row["state"]), row["failure"]


def _attach(submission: Submission, prediction: Prediction) -> Prediction:
    prediction.submission = submission
    submission.state, submission.doubt = SubmissionState.PREDICTED, prediction.doubt
    submission.latest_prediction = prediction
    return prediction
