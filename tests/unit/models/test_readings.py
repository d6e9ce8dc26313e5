"""Readings of a submission, and the one that a prediction chose."""

import pytest
from django.db import connection

from ml.readings import ReadingKind
from recognizer.models import Prediction, Submission
from tests.factories import make_boxed_submission, make_prediction, make_submission

pytestmark = pytest.mark.django_db


def test_readings_are_stored_in_order() -> None:
    stored = Submission.objects.get(pk=make_boxed_submission().pk)
    assert [reading.kind for reading in stored.readings] == [ReadingKind.PLAIN, ReadingKind.UNMARKED]
    assert [bool(reading.pixels.any()) for reading in stored.readings] == [False, True]


def test_pixels_shown_are_those_that_the_latest_prediction_chose() -> None:
    submission = make_boxed_submission()
    assert not submission.seen_pixels.any()
    prediction = make_prediction(submission, reading=1)
    assert submission.seen_pixels.any()
    assert submission.reading_kind(prediction) == ReadingKind.UNMARKED


def test_reading_of_an_earlier_preprocessing_is_unknown() -> None:
    submission = make_boxed_submission()
    prediction = make_prediction(submission, reading=1, preprocessing_version=submission.preprocessing_version - 1)
    assert submission.reading_kind(prediction) is None
    prediction.reading = 0
    assert submission.reading_kind(prediction) == ReadingKind.PLAIN


def test_pixels_of_a_reading_that_is_gone_are_those_of_the_plain_one() -> None:
    submission = make_boxed_submission(further_pixels=b"", further_ink=[])
    make_prediction(submission, reading=1)
    assert not submission.seen_pixels.any()


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
