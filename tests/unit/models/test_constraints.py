"""Tests of the database constraints and indexes."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from recognizer.models import (
    Deployment,
    Label,
    LabelKind,
    LabelReason,
    Lease,
    Prediction,
    RunState,
    Skip,
    Submission,
    TrainingRun,
    TruthState,
)
from recognizer.services.registry import versions
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db


def refused(write) -> bool:
    try:
        with transaction.atomic():
            write()
    except IntegrityError:
        return True
    return False


@pytest.mark.parametrize(
    "columns",
    [
        {"source": "fax"},
        {"state": "lost"},
        {"fold": "test"},
        {"truth": "7"},
        {"truth_state": TruthState.SETTLED},
        {"truth_state": TruthState.SETTLED, "truth": "12"},
        {"truth_state": TruthState.DISPUTED, "truth": "7"},
        {"state": "failed", "failure": ""},
        {"doubt": 1.5},
    ],
)
def test_inconsistent_submission_is_rejected(columns):
    assert refused(lambda: make_submission(**columns))
    assert not Submission.objects.exists()


def test_prediction_is_unique_per_version_and_preprocessing_version():
    submission = make_submission()
    make_prediction(submission)
    assert refused(lambda: make_prediction(submission))
    make_prediction(submission, preprocessing_version=submission.preprocessing_version + 1)
    assert Prediction.objects.count() == 2


@pytest.mark.parametrize(
    "columns", [{"digit": 10}, {"runner_up": 7}, {"certainty": 1.2}, {"doubt": -0.1}, {"verdict": "maybe"}]
)
def test_prediction_out_of_range_is_rejected(columns):
    submission = make_submission()
    assert refused(lambda: make_prediction(submission, **columns))


@pytest.mark.parametrize("columns", [{"value": ""}, {"value": "12"}, {"value": "7", "kind": "guess"}])
def test_unknown_label_value_is_rejected(columns):
    submission = make_submission()
    row = {"submission": submission, "kind": LabelKind.REVIEW, "reason": LabelReason.DOUBT} | columns
    assert refused(lambda: Label.objects.create(**row))


def test_a_label_is_retracted_at_most_once():
    submission = make_submission()
    row = {"submission": submission, "kind": LabelKind.REVIEW, "reason": LabelReason.DOUBT}
    label = Label.objects.create(value="7", **row)
    Label.objects.create(retracts=label, **row)
    assert refused(lambda: Label.objects.create(retracts=label, **row))


def test_at_most_one_training_run_is_active():
    first = TrainingRun.objects.create(trigger="person")
    assert refused(lambda: TrainingRun.objects.create(trigger="schedule", state=RunState.RUNNING))
    TrainingRun.objects.filter(pk=first.pk).update(state=RunState.FAILED, finished=timezone.now())
    TrainingRun.objects.create(trigger="schedule")
    TrainingRun.objects.create(trigger="person", state=RunState.REFUSED, finished=timezone.now())


def test_ended_run_needs_a_time():
    assert refused(lambda: TrainingRun.objects.create(trigger="person", state=RunState.FAILED))


def test_deployment_needs_a_reason_and_a_change():
    live = versions.live_version()
    row = {"sequence": 2, "kind": Deployment.Kind.ROLLBACK, "to_version": live}
    assert refused(lambda: Deployment.objects.create(why="", **row))
    assert refused(lambda: Deployment.objects.create(why="back", from_version=live, **row))


def test_submission_has_one_lease_and_one_skip_per_reviewer(reviewer, operator):
    submission = make_submission()
    row = {
        "submission": submission,
        "digest": submission.digest,
        "expires": timezone.now(),
        "reason": LabelReason.DOUBT,
    }
    Lease.objects.create(reviewer=reviewer.user, **row)
    assert refused(lambda: Lease.objects.create(reviewer=operator.user, **row))
    Skip.objects.create(submission=submission, reviewer=reviewer.user)
    assert refused(lambda: Skip.objects.create(submission=submission, reviewer=reviewer.user))


def test_deleting_a_submission_deletes_its_predictions_and_labels(reviewer):
    submission = make_submission()
    make_prediction(submission)
    Label.objects.create(submission=submission, kind=LabelKind.REVIEW, value="7", reason=LabelReason.DOUBT)
    submission.delete()
    assert not Prediction.objects.exists()
    assert not Label.objects.exists()


@pytest.mark.parametrize("model", [Submission, Prediction, Label])
def test_no_index_is_a_prefix_of_another(model):
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, model._meta.db_table)
    indexes = {
        name: tuple(constraint["columns"])
        for name, constraint in constraints.items()
        if constraint["index"] or constraint["unique"]
    }
    needless = [
        (name, other)
        for name, columns in indexes.items()
        for other, longer in indexes.items()
        if name != other and longer[: len(columns)] == columns and not constraints[name]["unique"]
    ]
    # On PostgreSQL, Django creates an index for LIKE for every unique text column.
    assert [pair for pair in needless if not pair[0].endswith("_like")] == []


@pytest.mark.sqlite_only  # PostgreSQL scans such a small table
@pytest.mark.parametrize(
    ("key", "index"),
    [
        ("owner_id", "submission_owner"),
        ("parent_id", "submission_parent"),
        ("latest_prediction_id", "submission_latest"),
    ],
)
def test_foreign_keys_of_submissions_have_an_index(key, index):
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN SELECT id FROM recognizer_submission WHERE {key} = %s", [1])
        assert index in cursor.fetchall()[0][3]
