"""Readings of a submission, and the one that a prediction chose."""

import numpy as np
import pytest
from django.db import connection

from ml.readings import Reading, ReadingKind, encode_further
from recognizer.models import Prediction, Submission
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db


def boxed(**columns: object) -> Submission:
    """Create a submission whose plain reading is filled with 1 and whose reading without a frame with 2."""
    plain, unmarked = (np.full((28, 28), value, np.uint8) for value in (1, 2))
    readings = [Reading(ReadingKind.PLAIN, plain), Reading(ReadingKind.UNMARKED, unmarked, {"stroke": 0.1})]
    further_pixels, further_ink = encode_further(readings)
    inputs = {"pixels": plain.tobytes(), "further_pixels": further_pixels, "further_ink": further_ink}
    return make_submission(**inputs | columns)


@pytest.mark.both_databases
def test_readings_are_stored_in_order() -> None:
    stored = Submission.objects.get(pk=boxed().pk)
    assert [reading.kind for reading in stored.readings] == [ReadingKind.PLAIN, ReadingKind.UNMARKED]
    assert [int(reading.pixels[0, 0]) for reading in stored.readings] == [1, 2]
    assert stored.readings[1].ink["stroke"] == 0.1


def test_pixels_shown_are_those_that_the_latest_prediction_chose() -> None:
    submission = boxed()
    assert submission.seen_pixels[0, 0] == 1
    prediction = make_prediction(submission, reading=1)
    assert submission.seen_pixels[0, 0] == 2
    assert submission.reading_kind(prediction) == ReadingKind.UNMARKED


def test_reading_of_an_earlier_preprocessing_is_unknown() -> None:
    submission = boxed()
    prediction = make_prediction(submission, reading=1, preprocessing_version=submission.preprocessing_version - 1)
    assert submission.reading_kind(prediction) is None
    prediction.reading = 0
    assert submission.reading_kind(prediction) == ReadingKind.PLAIN


def test_pixels_of_a_reading_that_is_gone_are_those_of_the_plain_one() -> None:
    submission = boxed(further_pixels=b"", further_ink=[])
    make_prediction(submission, reading=1)
    assert submission.seen_pixels[0, 0] == 1


@pytest.mark.both_databases
def test_rows_that_release_0_9_0_inserts_have_the_plain_reading() -> None:
    _insert_without(make_submission(), "further_pixels", "further_ink", public_id="another")
    assert [reading.kind for reading in Submission.objects.get(public_id="another").readings] == [ReadingKind.PLAIN]
    _insert_without(make_prediction(make_submission()), "reading", preprocessing_version=1)
    assert Prediction.objects.get(preprocessing_version=1).reading == 0


def _insert_without(row: Submission | Prediction, *columns: str, **changes: object) -> None:
    """Insert a copy of a row with a statement that does not name some of the columns."""
    table = row._meta.db_table
    names = [field.column for field in row._meta.concrete_fields if not field.primary_key]
    copied = ", ".join(name for name in names if name not in (*columns, *changes))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({copied}, {', '.join(changes)}) "
            f"SELECT {copied}, {', '.join(['%s'] * len(changes))} FROM {table} WHERE id = %s",
            [*changes.values(), row.pk],
        )
