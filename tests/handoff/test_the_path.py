"""The way of a submission: row, list, worker, answer."""

from recognizer.models import Submission, SubmissionState
from recognizer.services import handoff
from tests.rows import make_submission
from tests.support.site import Site, some_pixels


def test_a_pushed_submission_is_answered_while_the_request_waits(site: Site) -> None:
    site.start_redis()
    site.start_worker()
    with site.entered():
        submission = make_submission(pixels=some_pixels())
        handoff.push([submission.pk])
        prediction = handoff.wait_for(submission, 2)
        assert prediction is not None
        stored = Submission.objects.select_related("latest_prediction").get()
        assert stored.state == SubmissionState.PREDICTED == submission.state
        assert stored.latest_prediction == prediction
        for field in prediction._meta.concrete_fields:
            assert getattr(stored.latest_prediction, field.attname) == getattr(prediction, field.attname)
        assert prediction.version.number == 1
