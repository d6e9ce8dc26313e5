"""The two ways in which an answer reaches whoever waits for it: a message that goes through Redis, and the row."""

import json
from collections.abc import Sequence
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS

from recognizer.models import ModelVersion, Prediction, Submission, SubmissionState

# The columns of a prediction as they travel to a waiting request, in the model's order, which `from_db` goes by.
COLUMNS = (
    "id",
    "submission_id",
    "version_id",
    "preprocessing_version",
    "created",
    "probabilities",
    "digit",
    "certainty",
    "runner_up",
    "energy",
    "doubt",
    "verdict",
    "milliseconds",
)


def message(prediction: Prediction, version: ModelVersion) -> bytes:
    """What `take` makes a prediction of."""
    given = {name: getattr(prediction, name) for name in COLUMNS}
    given |= {"created": prediction.created.isoformat(), "version_number": version.number}
    return json.dumps(given, separators=(",", ":")).encode()


def failure_message(reason: str) -> bytes:
    """What tells `take` that the submission failed."""
    return json.dumps({"failure": reason}).encode()


def take(submission: Submission, sent: bytes) -> Prediction | None:
    """The prediction that a message carries, and the submission brought up to date with it, without any query."""
    given = json.loads(sent)
    if "failure" in given:
        submission.state, submission.failure = SubmissionState.FAILED, given["failure"]
        return None
    given["created"] = datetime.fromisoformat(given["created"])
    prediction = Prediction.from_db(DEFAULT_DB_ALIAS, COLUMNS, [given[name] for name in COLUMNS])
    # Everything but the number is deferred: read when asked for.
    prediction.version = ModelVersion.from_db(
        DEFAULT_DB_ALIAS, ["id", "number"], [given["version_id"], given["version_number"]]
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
