"""Answers are shown in a quicker way than the framework's, and nobody can tell."""

import json

import pytest
from django.http import HttpRequest
from rest_framework.serializers import BaseSerializer, Serializer

from ml.preprocessing import prepare_strokes
from ml.serving.classifier import Answer
from ml.serving.verdicts import Verdict
from recognizer.api.serializers.labels import LabelSerializer
from recognizer.api.serializers.models import ModelVersionDetailSerializer, ModelVersionSerializer, StatsSerializer
from recognizer.api.serializers.predictions import (
    PredictionOfSubmissionSerializer,
    PredictionSerializer,
    PreviewSerializer,
)
from recognizer.api.serializers.review import ReviewItemSerializer
from recognizer.api.serializers.submissions import (
    ShareSerializer,
    StoredSubmissionSerializer,
    SubmissionDetailSerializer,
    SubmissionSerializer,
)
from recognizer.api.views.submissions import preview_body
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


def answered(actor: Actor) -> Submission:
    submission = service.create_from_strokes(actor=actor, strokes=SEVEN, source=Source.CANVAS)
    make_prediction(submission, energy=-3, certainty=1)  # whole numbers are shown as the framework shows them
    return submission


def the_frameworks(serializer: BaseSerializer, row: object) -> dict:
    """What the declared fields give, each asked by the framework itself."""
    return Serializer.to_representation(serializer, row)


def assert_shown_alike(kind: type[Serializer], row: object, given: dict) -> None:
    shown, wanted = kind(context=given).to_representation(row), the_frameworks(kind(context=dict(given)), row)
    assert repr(shown) == repr(wanted)  # the same keys in the same order, and 1.0 is not 1
    assert repr(kind(row, context=given).data) == repr(wanted)
    assert repr([*kind([row, row], many=True, context=given).data]) == repr([wanted, wanted])


@pytest.mark.parametrize(
    "kind",
    [
        SubmissionSerializer,
        StoredSubmissionSerializer,
        SubmissionDetailSerializer,
    ],
)
@pytest.mark.parametrize("key", ["", "a key & more/€"])
def test_submissions_in_every_state(kind, key, visitor, stranger, reviewer):
    waiting = make_submission()
    failed = make_submission(state="failed", failure="unreadable")
    cropped = make_submission(crop=[1, 2, 30, 40], ink={"height": 3}, may_train=False)
    settled = make_submission(truth="several", truth_state="settled")
    for row in (waiting, failed, cropped, settled, answered(visitor)):
        row.refresh_from_db()
        for actor in (visitor, stranger, reviewer):
            assert_shown_alike(kind, row, context(actor, key=key))


def test_predictions_and_labels(visitor, reviewer):
    submission = answered(visitor)
    for kind in (PredictionSerializer, PredictionOfSubmissionSerializer):
        assert_shown_alike(kind, submission.latest_prediction, context(visitor))
    said = labels.create_label(actor=reviewer, submission=submission, value=TruthValue.SEVEN, reason=LabelReason.API)
    for row in (said, labels.retract(actor=reviewer, label=said)):
        for actor in (visitor, reviewer):
            assert_shown_alike(LabelSerializer, row, context(actor))


def test_what_is_no_row(visitor):
    submission = answered(visitor)
    assert_shown_alike(ShareSerializer, {"submission": submission, "key": "k"}, context(visitor))
    for reason, blind in ((LabelReason.DOUBT, False), (LabelReason.SUSPECT, True)):
        assert_shown_alike(ReviewItemSerializer, ReviewItem(submission, reason, blind=blind), {})


@pytest.mark.parametrize("is_blank", [True, False])
def test_previews(is_blank):
    answer = None if is_blank else Answer((0.1,) * 10, 7, 0.5, 1, -3.0, 0.5, Verdict.UNSURE)
    prepared = prepare_strokes([] if is_blank else SEVEN)
    body = preview_body(service.Preview(prepared, answer))
    shown = json.loads(json.dumps(body))
    assert shown == the_frameworks(PreviewSerializer(), body)
    assert [*shown] == [*PreviewSerializer().fields]


def test_models_and_counts(visitor):
    version = versions.live_version()
    for kind in (ModelVersionSerializer, ModelVersionDetailSerializer):
        assert_shown_alike(kind, version, {"live": version.pk})
    answered(visitor)
    assert_shown_alike(StatsSerializer, submission_stats.stats_for(visitor), {})
