"""What a reviewer decides, takes back and sends again."""

from datetime import timedelta

import pytest
from django.utils import timezone

from recognizer.models import Label, LabelKind, LabelReason, Lease, Submission, TruthState, Verdict
from recognizer.services.identity.actors import Actor
from recognizer.services.review import decisions, labels, queue
from recognizer.services.training.scheduling import trainable_submissions
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_chance(settings):
    settings.REVIEW_RANDOM_SHARE = 0


def answered(**columns) -> Submission:
    submission = make_submission(**columns)
    make_prediction(submission, verdict=Verdict.UNSURE, doubt=0.5)
    return submission


def shown(actor: Actor) -> Submission:
    return queue.lease_next(actor=actor, rule=LabelReason.DOUBT, count=1)[0].submission


def decide(actor: Actor, submission: Submission, value: str = "7") -> Label:
    return decisions.decide(actor=actor, submission=submission, value=value, default_reason=LabelReason.API)


def truth(submission: Submission) -> tuple[str, str]:
    submission.refresh_from_db()
    return submission.truth, submission.truth_state


def test_a_decision_carries_the_reason_for_which_it_was_shown_and_ends_its_lease(reviewer):
    answered()
    said = decide(reviewer, shown(reviewer))
    assert (said.kind, said.reason) == (LabelKind.REVIEW, LabelReason.DOUBT)
    assert not Lease.objects.exists()


def test_a_decision_that_is_sent_again_is_stored_once(reviewer):
    answered()
    submission = shown(reviewer)
    assert decide(reviewer, submission) == decide(reviewer, submission)
    assert Label.objects.count() == 1


def test_a_decision_after_the_lease_ran_out_is_not_lost(reviewer, second_reviewer):
    answered()
    submission = shown(reviewer)
    Lease.objects.all().delete()
    assert shown(second_reviewer) == submission
    decide(reviewer, submission)
    assert truth(submission) == ("7", TruthState.SETTLED)
    assert Lease.objects.get().reviewer == second_reviewer.user


def test_second_thoughts_keep_the_reason(reviewer):
    answered()
    submission = shown(reviewer)
    decide(reviewer, submission, "7")
    assert decide(reviewer, submission, "1").reason == LabelReason.DOUBT
    assert truth(submission) == ("1", TruthState.SETTLED)


def test_what_is_taken_back_is_in_front_of_its_reviewer_again_for_the_same_reason(reviewer, second_reviewer):
    answered(), answered()
    submission = shown(reviewer)
    decide(reviewer, submission)
    item = decisions.undo(actor=reviewer, submission=submission)
    assert (item.submission, item.reason, item.blind) == (submission, LabelReason.DOUBT, False)
    assert truth(submission) == ("", TruthState.NONE)
    assert shown(reviewer) == submission
    assert shown(second_reviewer) != submission


def test_taking_back_twice_takes_back_once(reviewer):
    answered()
    submission = shown(reviewer)
    decide(reviewer, submission)
    for _ in range(2):
        decisions.undo(actor=reviewer, submission=submission)
    assert Label.objects.filter(retracts__isnull=False).count() == 1
    assert shown(reviewer) == submission


def test_passing_over_can_be_taken_back(reviewer):
    answered(), answered()
    submission = shown(reviewer)
    decisions.skip(actor=reviewer, submission=submission)
    assert shown(reviewer) != submission
    assert decisions.undo(actor=reviewer, submission=submission).submission == submission


def test_the_last_decision_is_known_and_what_was_said_elsewhere_is_none(reviewer):
    assert decisions.last_decided(reviewer) is None
    answered()
    submission = shown(reviewer)
    decide(reviewer, submission)
    labels.create_label(actor=reviewer, submission=answered(), value="3", reason=LabelReason.OWN_PAGE)
    assert decisions.last_decided(reviewer) == submission


def test_many_decisions_are_one_transaction_all_or_none(reviewer):
    rows = [answered() for _ in range(5)]
    with pytest.raises(labels.LabelError):
        decisions.decide_many(
            actor=reviewer, values=dict.fromkeys(rows, "7") | {rows[4]: "eleven"}, default_reason=LabelReason.GRID
        )
    assert not Label.objects.exists()


@pytest.mark.parametrize("count", [2, 60])
def test_many_decisions_cost_as_many_queries_as_few(reviewer, count, django_assert_max_num_queries):
    rows = [answered() for _ in range(count)]
    reviewer.user.has_perm("recognizer.review")
    with django_assert_max_num_queries(14):
        decisions.decide_many(actor=reviewer, values=dict.fromkeys(rows, "7"), default_reason=LabelReason.GRID)
    assert Submission.objects.filter(truth="7", truth_state=TruthState.SETTLED).count() == count


def test_what_was_deleted_meanwhile_does_not_spoil_the_others(reviewer):
    rows = [answered() for _ in range(3)]
    Submission.objects.filter(pk=rows[1].pk).delete()
    said = decisions.decide_many(actor=reviewer, values=dict.fromkeys(rows, "7"), default_reason=LabelReason.GRID)
    assert {one.submission_id for one in said} == {rows[0].pk, rows[2].pk}


def test_the_grid_shows_one_digit_and_leases_it(reviewer, second_reviewer):
    sevens = {answered() for _ in range(3)}
    other = make_submission()
    make_prediction(other, digit=1, runner_up=7)
    no_digit = make_submission()
    make_prediction(no_digit, verdict=Verdict.NOT_A_DIGIT)
    assert queue.grid_sizes()[7] == 3
    assert {item.submission for item in queue.lease_grid(actor=reviewer, digit=7)} == sevens
    assert queue.lease_grid(actor=second_reviewer, digit=7) == []
    assert [item.submission for item in queue.lease_grid(actor=reviewer, digit=1)] == [other]
    assert {item.submission for item in queue.lease_grid(actor=second_reviewer, digit=7)} == sevens


def test_an_item_with_a_word_on_it_already_is_blind_whatever_the_rule(reviewer, second_reviewer):
    decide(second_reviewer, answered(), "3")
    sure = make_submission()
    make_prediction(sure)
    decide(reviewer, sure, "1")
    [item] = queue.lease_next(actor=second_reviewer, rule=LabelReason.NEWEST, count=1)
    assert (item.submission, item.blind, item.answer, item.suggestion) == (sure, True, None, "")


def test_no_visitors_word_becomes_a_training_label(visitor, stranger, reviewer):
    drawn = answered()
    for value in ("1", "7", "1"):
        labels.create_label(actor=visitor, submission=drawn, value=value, reason=LabelReason.OWN_PAGE)
    for actor in (visitor, stranger, Actor()):
        with pytest.raises(labels.NotAllowedError):
            decide(actor, drawn)
    assert truth(drawn) == ("1", TruthState.PROVISIONAL)
    assert not trainable_submissions().exists()
    decide(reviewer, drawn, "7")
    assert list(trainable_submissions()) == [drawn]


def test_a_lone_reviewers_corrections_settle_and_train(reviewer):
    sure = make_submission()
    make_prediction(sure)
    decide(reviewer, sure, "1")
    assert truth(sure) == ("1", TruthState.SETTLED)
    assert list(trainable_submissions()) == [sure]


def test_what_waits_for_a_colleague_who_left_settles_when_the_queue_is_empty(reviewer, second_reviewer):
    old = decide(second_reviewer, answered(), "3")
    sure = make_submission()
    make_prediction(sure)
    decide(reviewer, sure, "1")
    assert queue.lease_next(actor=reviewer, rule=LabelReason.DOUBT) == []
    assert truth(sure) == ("1", TruthState.PROVISIONAL)
    Label.objects.filter(pk=old.pk).update(created=timezone.now() - timedelta(days=31))
    queue.lease_next(actor=reviewer, rule=LabelReason.DOUBT)
    assert truth(sure) == ("1", TruthState.SETTLED)


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.acceptance)])
def test_two_reviewers_at_once_share_items_without_one_in_common_and_none_lost(reviewer, second_reviewer, count):
    rows = {answered().pk for _ in range(count)}
    on_screen = {reviewer: set(), second_reviewer: set()}
    decided = []
    turns = [reviewer, second_reviewer, second_reviewer, reviewer, reviewer]
    while len(decided) < count:
        actor = turns[len(decided) % len(turns)]
        items = queue.lease_next(actor=actor, rule=LabelReason.DOUBT, count=6)
        on_screen[actor] = {item.submission.pk for item in items}
        assert not on_screen[reviewer] & on_screen[second_reviewer]
        if not items:
            turns = [one for one in turns if one is not actor]
            continue
        for item in items[:3]:
            decide(actor, item.submission)
            on_screen[actor].discard(item.submission.pk)
            decided.append(item.submission.pk)
    assert len(decided) == len(set(decided)) == count
    assert set(decided) == rows
