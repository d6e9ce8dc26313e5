"""Decisions of reviewers: label, undo and repeat."""

from datetime import timedelta

import pytest
from django.utils import timezone

from recognizer.models import Label, LabelKind, LabelReason, Lease, Submission, TruthState, Verdict
from recognizer.services.identity.actors import Actor
from recognizer.services.review import labels, queue
from recognizer.services.review.labels import LabelInput, RecordedLabel
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_random_share(settings):
    settings.REVIEW_RANDOM_SHARE = 0


def make_predicted(**columns) -> Submission:
    submission = make_submission(**columns)
    make_prediction(submission, verdict=Verdict.UNSURE, doubt=0.5)
    return submission


def lease_one(actor: Actor) -> Submission:
    return queue.lease_next(actor=actor, rule=LabelReason.DOUBT, count=1)[0].submission


def decide(actor: Actor, submission: Submission, value: str = "7") -> Label:
    return labels.record_label(actor=actor, submission=submission, value=value, reason=LabelReason.API).label


def confirm(actor: Actor, rows: list[Submission]) -> list[RecordedLabel]:
    return labels.record_labels(actor=actor, inputs=[LabelInput(row, "7", LabelReason.GRID) for row in rows])


def consensus(submission: Submission) -> tuple[str, str]:
    submission.refresh_from_db()
    return submission.truth, submission.truth_state


def test_decision_has_reason_of_lease_and_releases_it(reviewer):
    make_predicted()
    labels_added = decide(reviewer, lease_one(reviewer))
    assert (labels_added.kind, labels_added.reason) == (LabelKind.REVIEW, LabelReason.DOUBT)
    assert not Lease.objects.exists()


def test_repeated_decision_is_stored_once(reviewer):
    make_predicted()
    submission = lease_one(reviewer)
    assert decide(reviewer, submission) == decide(reviewer, submission)
    assert Label.objects.count() == 1


def test_item_that_was_seen_without_a_decision_is_released(reviewer):
    labelled, undecided, elsewhere = (make_predicted() for _ in range(3))
    queue.lease_next(actor=reviewer, rule=LabelReason.DOUBT, count=3)
    inputs = [LabelInput(labelled, "7", LabelReason.GRID)]
    labels.record_labels(actor=reviewer, inputs=inputs, released=[undecided])
    assert Lease.objects.get().submission == elsewhere
    assert Label.objects.get().submission == labelled


def test_decision_after_lease_expiry_is_stored(reviewer, second_reviewer):
    make_predicted()
    submission = lease_one(reviewer)
    Lease.objects.all().delete()
    assert lease_one(second_reviewer) == submission
    decide(reviewer, submission)
    assert consensus(submission) == ("7", TruthState.SETTLED)
    assert Lease.objects.get().reviewer == second_reviewer.user


def test_corrected_decision_keeps_reason(reviewer):
    make_predicted()
    submission = lease_one(reviewer)
    decide(reviewer, submission, "7")
    assert decide(reviewer, submission, "1").reason == LabelReason.DOUBT
    assert consensus(submission) == ("1", TruthState.SETTLED)


def test_undo_leases_item_again_with_same_reason(reviewer, second_reviewer):
    make_predicted(), make_predicted()
    submission = lease_one(reviewer)
    decide(reviewer, submission)
    item = queue.undo(actor=reviewer, submission=submission)
    assert (item.submission, item.reason, item.blind) == (submission, LabelReason.DOUBT, False)
    assert consensus(submission) == ("", TruthState.NONE)
    assert lease_one(reviewer) == submission
    assert lease_one(second_reviewer) != submission


def test_repeated_undo_retracts_once(reviewer):
    make_predicted()
    submission = lease_one(reviewer)
    decide(reviewer, submission)
    for _ in range(2):
        queue.undo(actor=reviewer, submission=submission)
    assert Label.objects.filter(retracts__isnull=False).count() == 1
    assert lease_one(reviewer) == submission


def test_skip_can_be_undone(reviewer):
    make_predicted(), make_predicted()
    submission = lease_one(reviewer)
    queue.skip(actor=reviewer, submission=submission)
    assert lease_one(reviewer) != submission
    assert queue.undo(actor=reviewer, submission=submission).submission == submission


def test_last_decided_ignores_labels_outside_queue(reviewer):
    assert queue.last_decided(reviewer) is None
    make_predicted()
    submission = lease_one(reviewer)
    decide(reviewer, submission)
    labels.record_label(actor=reviewer, submission=make_predicted(), value="3", reason=LabelReason.OWN_PAGE)
    assert queue.last_decided(reviewer) == submission


def test_decisions_are_stored_all_or_none(reviewer):
    rows = [make_predicted() for _ in range(5)]
    with pytest.raises(labels.LabelError):
        labels.record_labels(
            actor=reviewer,
            inputs=[LabelInput(row, "eleven" if row == rows[4] else "7", LabelReason.GRID) for row in rows],
        )
    assert not Label.objects.exists()


@pytest.mark.parametrize("count", [2, 60])
def test_query_count_does_not_depend_on_number_of_decisions(reviewer, count, django_assert_max_num_queries):
    rows = [make_predicted() for _ in range(count)]
    reviewer.user.has_perm("recognizer.review")
    with django_assert_max_num_queries(11):
        confirm(reviewer, rows)
    assert Submission.objects.filter(truth="7", truth_state=TruthState.SETTLED).count() == count


def test_deleted_submission_does_not_fail_other_decisions(reviewer):
    rows = [make_predicted() for _ in range(3)]
    Submission.objects.filter(pk=rows[1].pk).delete()
    assert {row.label.submission_id for row in confirm(reviewer, rows)} == {rows[0].pk, rows[2].pk}


def test_grid_leases_submissions_of_one_digit(reviewer, second_reviewer):
    sevens = {make_predicted() for _ in range(3)}
    other = make_submission()
    make_prediction(other, digit=1, runner_up=7)
    no_digit = make_submission()
    make_prediction(no_digit, verdict=Verdict.NOT_A_DIGIT)
    assert queue.grid_sizes()[7] == 3
    assert {item.submission for item in queue.lease_grid(actor=reviewer, digit=7)} == sevens
    assert queue.lease_grid(actor=second_reviewer, digit=7) == []
    assert [item.submission for item in queue.lease_grid(actor=reviewer, digit=1)] == [other]
    assert {item.submission for item in queue.lease_grid(actor=second_reviewer, digit=7)} == sevens


def test_reviewed_item_is_blind_under_every_rule(reviewer, second_reviewer):
    decide(second_reviewer, make_predicted(), "3")
    sure = make_submission()
    make_prediction(sure)
    decide(reviewer, sure, "1")
    [item] = queue.lease_next(actor=second_reviewer, rule=LabelReason.NEWEST, count=1)
    assert (item.submission, item.blind, item.answer, item.suggestion) == (sure, True, None, "")


def test_visitor_labels_are_not_used_for_training(visitor, stranger, reviewer):
    submission = make_predicted()
    for value in ("1", "7", "1"):
        labels.record_label(actor=visitor, submission=submission, value=value, reason=LabelReason.OWN_PAGE)
    for actor in (stranger, Actor()):
        with pytest.raises(labels.NotAllowedError):
            decide(actor, submission)
    assert consensus(submission) == ("1", TruthState.PROVISIONAL)
    assert not Submission.objects.trainable().exists()
    decide(reviewer, submission, "7")
    assert list(Submission.objects.trainable()) == [submission]


def test_corrections_of_single_reviewer_are_used_for_training(reviewer):
    sure = make_submission()
    make_prediction(sure)
    decide(reviewer, sure, "1")
    assert consensus(sure) == ("1", TruthState.SETTLED)
    assert list(Submission.objects.trainable()) == [sure]


def test_waiting_second_opinions_settle_when_other_reviewer_is_inactive(reviewer, second_reviewer):
    old = decide(second_reviewer, make_predicted(), "3")
    sure = make_submission()
    make_prediction(sure)
    decide(reviewer, sure, "1")
    assert queue.lease_next(actor=reviewer, rule=LabelReason.DOUBT) == []
    assert consensus(sure) == ("1", TruthState.PROVISIONAL)
    Label.objects.filter(pk=old.pk).update(created=timezone.now() - timedelta(days=31))
    queue.lease_next(actor=reviewer, rule=LabelReason.DOUBT)
    assert consensus(sure) == ("1", TruthState.SETTLED)


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.acceptance)])
def test_concurrent_reviewers_get_disjoint_items(reviewer, second_reviewer, count):
    rows = {make_predicted().pk for _ in range(count)}
    on_screen = {reviewer: set(), second_reviewer: set()}
    decided = []
    turns = [reviewer, second_reviewer, second_reviewer, reviewer, reviewer]
    while len(decided) < count:
        actor = turns[len(decided) % len(turns)]
        items = queue.lease_next(actor=actor, rule=LabelReason.DOUBT, count=6)
        on_screen[actor] = {item.submission.pk for item in items}
        assert not on_screen[reviewer] & on_screen[second_reviewer]
        if not items:
            turns = [row for row in turns if row is not actor]
            continue
        for item in items[:3]:
            decide(actor, item.submission)
            on_screen[actor].discard(item.submission.pk)
            decided.append(item.submission.pk)
    assert len(decided) == len(set(decided)) == count
    assert set(decided) == rows
