"""The documents of the two slim views equal those of the framework's serializers, which describe them in OpenAPI."""

import json

import pytest
from django.http import HttpRequest
from rest_framework.renderers import JSONRenderer
from rest_framework.serializers import Serializer

from ml.preprocessing import prepare_strokes
from ml.serving.verdicts import Answer, Verdict
from recognizer.api.serializers.predictions import PreviewSerializer
from recognizer.api.serializers.submissions import StoredSubmissionSerializer
from recognizer.api.views.create import preview_document, submission_document
from recognizer.models import Source, Submission
from recognizer.services.identity.actors import Actor
from recognizer.services.submissions import service
from recognizer.services.submissions.service import Preview
from tests.factories import make_prediction
from tests.image_samples import SEVEN

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


@pytest.mark.parametrize("is_predicted", [False, True])
@pytest.mark.parametrize("actor", [Actor(), Actor(visitor="a" * 32)])
def test_submission_equals_the_serializers_representation(actor, is_predicted):
    row = service.create_from_strokes(actor=actor, strokes=SEVEN, source=Source.CANVAS)
    if is_predicted:
        make_prediction(row)
    row = Submission.objects.with_latest_prediction().get()
    request = HttpRequest()
    request.META = {"HTTP_HOST": "localhost:8000", "SERVER_NAME": "localhost", "SERVER_PORT": "8000"}
    request.actor = actor
    context = {"request": request, "read_key": "k-1", "key": "" if actor.is_known else "k-1"}
    actual = submission_document(request, row, "k-1")
    expected = StoredSubmissionSerializer(row, context=context).data
    assert json.loads(JSONRenderer().render(actual)) == json.loads(JSONRenderer().render(expected))
    assert [*actual] == [*expected]


@pytest.mark.parametrize("is_blank", [True, False])
def test_preview_equals_the_serializers_representation(is_blank):
    answer = None if is_blank else Answer((0.1,) * 10, 7, 0.5, 1, -3.0, 0.5, Verdict.UNSURE)
    prepared = prepare_strokes([] if is_blank else SEVEN)
    document = preview_document(Preview(prepared, answer))
    actual = json.loads(json.dumps(document))
    assert actual == Serializer.to_representation(PreviewSerializer(), document)
    assert [*actual] == [*PreviewSerializer().fields]
