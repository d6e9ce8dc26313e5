"""The fast serializers return the same data as the framework's serializers."""

import pytest
from django.http import HttpRequest
from rest_framework.serializers import BaseSerializer, Serializer

from recognizer.api.serializers.labels import LabelSerializer
from recognizer.api.serializers.models import ModelVersionDetailSerializer, ModelVersionSerializer, StatsSerializer
from recognizer.api.serializers.predictions import (
    PredictionOfSubmissionSerializer,
    PredictionSerializer,
)
from recognizer.api.serializers.review import ReviewItemSerializer
from recognizer.api.serializers.submissions import (
    ShareSerializer,
    StoredSubmissionSerializer,
    SubmissionDetailSerializer,
    SubmissionSerializer,
)
from recognizer.models import LabelReason, Source, Submission, TruthValue
from recognizer.services.identity.actors import Actor
from recognizer.services.ops import submission_stats
from recognizer.services.registry import versions
from recognizer.services.review import labels
from recognizer.services.review.queue import ReviewItem
from recognizer.services.submissions import service
from tests.factories import make_prediction, make_submission
from tests.image_samples import SEVEN

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


def context(actor: Actor, **more: object) -> dict:
    request = HttpRequest()
    request.META = {"HTTP_HOST": "localhost:8000", "SERVER_NAME": "localhost", "SERVER_PORT": "8000"}
    request.actor = actor
    return {"request": request, "read_key": "k-1", **more}


def predicted_submission(actor: Actor) -> Submission:
    submission = service.create_from_strokes(actor=actor, strokes=SEVEN, source=Source.CANVAS)
    make_prediction(submission, energy=-3, certainty=1)  # integers in float fields
    return submission


def framework_representation(serializer: BaseSerializer, row: object) -> dict:
    """Return the framework's own representation of the declared fields."""
    return Serializer.to_representation(serializer, row)


def assert_same_representation(kind: type[Serializer], row: object, params: dict) -> None:
    actual, expected = (
        kind(context=params).to_representation(row),
        framework_representation(kind(context=dict(params)), row),
    )
    assert repr(actual) == repr(expected)  # the same keys in the same order, and 1.0 is not 1
    assert repr(kind(row, context=params).data) == repr(expected)
    assert repr([*kind([row, row], many=True, context=params).data]) == repr([expected, expected])


@pytest.mark.parametrize(
    "kind",
    [
        SubmissionSerializer,
        StoredSubmissionSerializer,
        SubmissionDetailSerializer,
    ],
)
@pytest.mark.parametrize("key", ["", "a key & more/€"])
def test_submissions_equal_the_frameworks_representation(kind, key, visitor, stranger, reviewer):
    pending = make_submission()
    failed = make_submission(state="failed", failure="unreadable")
    cropped = make_submission(crop=[1, 2, 30, 40], ink={"height": 3}, may_train=False)
    settled = make_submission(truth="several", truth_state="settled")
    for row in (pending, failed, cropped, settled, predicted_submission(visitor)):
        row.refresh_from_db()
        for actor in (visitor, stranger, reviewer):
            assert_same_representation(kind, row, context(actor, key=key))


def test_predictions_and_labels_equal_the_frameworks_representation(visitor, reviewer):
    submission = predicted_submission(visitor)
    for kind in (PredictionSerializer, PredictionOfSubmissionSerializer):
        assert_same_representation(kind, submission.latest_prediction, context(visitor))
    label = labels.record_label(
        actor=reviewer, submission=submission, value=TruthValue.SEVEN, reason=LabelReason.API
    ).label
    for row in (label, labels.retract(actor=reviewer, label=label)):
        for actor in (visitor, reviewer):
            assert_same_representation(LabelSerializer, row, context(actor))


def test_share_links_and_review_items_equal_the_frameworks_representation(visitor):
    submission = predicted_submission(visitor)
    assert_same_representation(ShareSerializer, {"submission": submission, "key": "k"}, context(visitor))
    for reason, blind in ((LabelReason.DOUBT, False), (LabelReason.SUSPECT, True)):
        assert_same_representation(ReviewItemSerializer, ReviewItem(submission, reason, blind=blind), {})


def test_model_versions_and_stats_equal_the_frameworks_representation(visitor):
    version = versions.live_version()
    for kind in (ModelVersionSerializer, ModelVersionDetailSerializer):
        assert_same_representation(kind, version, {"live": version.pk})
    predicted_submission(visitor)
    assert_same_representation(StatsSerializer, submission_stats.stats_for(visitor), {})
