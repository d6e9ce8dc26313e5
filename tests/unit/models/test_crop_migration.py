"""Migration 0019 gives predictions of cropped submissions the crop that they read."""

import importlib

import pytest
from django.db import connection

from recognizer.models import Prediction
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db


def test_predictions_from_before_the_migration_get_the_crop_of_their_submission():
    for crop in (None, [10, 20, 110, 120]):
        make_prediction(make_submission(crop=crop))
    with connection.cursor() as cursor:
        cursor.execute(importlib.import_module("recognizer.migrations.0019_prediction_crop").FILL)
    whole, cropped = Prediction.objects.order_by("pk")
    assert (whole.crop_box, whole.crop) == (None, whole.submission.crop_text)
    assert (cropped.crop_box, cropped.crop) == ([10, 20, 110, 120], cropped.submission.crop_text)
