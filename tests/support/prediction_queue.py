"""The prediction queue as a web process uses it."""

from recognizer.models import Prediction, Submission, SubmissionState
from recognizer.services.inference import producer


def request_predictions(*submissions: Submission) -> str:
    """Enqueue submissions that a request waits for, and return the name of its reply list."""
    reply_to = producer.new_reply_list()
    producer.enqueue([submission.pk for submission in submissions], reply_to=reply_to)
    return reply_to


def predict(submission: Submission, *, timeout: float = 10) -> Prediction | None:
    """Enqueue a submission and wait; return its prediction, or None if it is pending or failed."""
    producer.wait([submission], reply_to=request_predictions(submission), timeout=timeout)
    return submission.latest_prediction if submission.state == SubmissionState.PREDICTED else None
