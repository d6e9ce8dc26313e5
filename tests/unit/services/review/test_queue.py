"""Which submission a reviewer sees next, and why."""

import random
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from recognizer.models import Fold, Label, LabelReason, Lease, Submission, TruthState, Verdict
from recognizer.services.identity.actors import Actor
from recognizer.services.review import decisions, labels, queue
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_chance(settings):
    settings.REVIEW_RANDOM_SHARE = 0


@pytest.fixture
def second_reviewer() -> Actor:
    user = User.objects.create_user("rolf")
    user.groups.add(Group.objects.get(name="reviewer"))
    return Actor(user=user)


def answered(doubt: float = 0.5, **columns) -> Submission:
    submission = make_submission(**columns)
    make_prediction(submission, doubt=doubt, verdict=Verdict.UNSURE)
    return submission


def take(actor, rule=LabelReason.DOUBT, count=1, seed=1) -> list[Submission]:
    return [
        item.submission
        for item in queue.lease_next(actor=actor, rule=rule, count=count, randomness=random.Random(seed))
    ]


def review(actor, submission, value="7", reason=LabelReason.DOUBT) -> Label:
    return decisions.decide(actor=actor, submission=submission, value=value, default_reason=reason)


def test_the_most_doubtful_comes_first(reviewer):
    low, high, middle = answered(0.1), answered(0.9), answered(0.5)
    assert take(reviewer, count=3) == [high, middle, low]


def test_what_a_visitor_contradicted_comes_before_what_is_merely_doubtful(reviewer, visitor):
    answered(0.9)
    contradicted = answered(0.1)
    labels.create_label(actor=visitor, submission=contradicted, value="1", reason=LabelReason.OWN_PAGE)
    [item] = queue.lease_next(actor=reviewer, rule=LabelReason.DOUBT, count=1)
    assert (item.submission, item.reason, item.blind) == (contradicted, LabelReason.SUGGESTION, False)


def test_what_waits_failed_or_is_settled_is_not_shown(reviewer):
    make_submission()
    make_submission(state="failed", failure="unreadable")
    review(reviewer, answered())
    assert take(reviewer) == []


def test_the_newest_first_if_that_is_the_rule(reviewer):
    old, new = answered(0.9), answered(0.1)
    assert take(reviewer, LabelReason.NEWEST, count=2) == [new, old]


def test_disagreement_shows_what_model_versions_answered_differently(reviewer):
    from tests.unit.services.registry.test_versions import another_version

    answered(0.9)
    torn = answered(0.1)
    make_prediction(torn, version=another_version(), digit=1, runner_up=7)
    assert take(reviewer, LabelReason.DISAGREEMENT, count=5) == [torn]


def test_two_reviewers_never_have_the_same_item_in_front_of_them(reviewer, second_reviewer):
    for _ in range(6):
        answered()
    mine, theirs = take(reviewer, count=3), take(second_reviewer, count=3)
    assert not set(mine) & set(theirs)
    assert len(mine) == len(theirs) == 3


def test_a_reviewer_who_asks_again_gets_the_items_they_hold(reviewer):
    for _ in range(4):
        answered()
    assert take(reviewer, count=2) == take(reviewer, count=2)
    assert Lease.objects.count() == 2


def test_an_item_comes_back_when_its_lease_runs_out(reviewer, second_reviewer):
    submission = answered()
    assert take(reviewer) == [submission]
    assert take(second_reviewer) == []
    Lease.objects.update(expires=timezone.now() - timedelta(seconds=1))
    assert take(second_reviewer) == [submission]
    assert take(reviewer) == []


def test_who_leaves_gives_their_items_back_at_once(reviewer, second_reviewer):
    submission = answered()
    take(reviewer)
    queue.release_leases(actor=reviewer)
    assert take(second_reviewer) == [submission]


def test_a_skipped_item_goes_to_others_and_returns_only_when_nothing_else_is_left(reviewer, second_reviewer):
    hard, easy = answered(0.9), answered(0.1)
    assert take(reviewer) == [hard]
    decisions.skip(actor=reviewer, submission=hard)
    assert take(reviewer) == [easy]
    assert take(second_reviewer) == [hard]
    queue.release_leases(actor=second_reviewer)
    review(reviewer, easy)
    assert take(reviewer) == [hard]


def test_copies_are_shown_once_and_labelled_together(reviewer, second_reviewer):
    first = answered(digest="d" * 64)
    copy = answered(digest="d" * 64)
    [shown] = take(reviewer, count=5)
    assert take(second_reviewer) == []
    review(reviewer, shown)
    for one in (first, copy):
        one.refresh_from_db()
        assert (one.truth, one.truth_state) == ("7", TruthState.SETTLED)


def test_a_copy_that_arrives_later_takes_over_the_truth_and_asks_nobody(reviewer, second_reviewer):
    review(reviewer, answered(digest="d" * 64))
    late = answered(digest="d" * 64)
    assert take(second_reviewer) == []
    late.refresh_from_db()
    assert (late.truth, late.truth_state) == ("7", TruthState.SETTLED)


def test_a_contradicted_sure_answer_goes_blind_to_the_second_reviewer(reviewer, second_reviewer):
    review(second_reviewer, answered())
    sure = make_submission()
    make_prediction(sure)
    review(reviewer, sure, "1")
    assert take(reviewer) == []
    [item] = queue.lease_next(actor=second_reviewer, rule=LabelReason.DOUBT, count=1)
    assert (item.submission, item.reason, item.blind) == (sure, LabelReason.SECOND_OPINION, True)


def test_a_lone_reviewer_sees_a_contradicted_sure_answer_once_more_later_and_blind(reviewer):
    sure = make_submission()
    make_prediction(sure)
    said = review(reviewer, sure, "1")
    assert take(reviewer, LabelReason.SUSPECT) == []
    Label.objects.filter(pk=said.pk).update(created=timezone.now() - timedelta(days=2))
    [item] = queue.lease_next(actor=reviewer, rule=LabelReason.SUSPECT, count=1)
    assert (item.submission, item.blind) == (sure, True)
    again = review(reviewer, sure, "1", LabelReason.SUSPECT)
    Label.objects.filter(pk=again.pk).update(created=timezone.now() - timedelta(days=2))
    assert take(reviewer, LabelReason.SUSPECT) == []


def test_a_random_share_is_mixed_in_and_says_so(reviewer, settings):
    settings.REVIEW_RANDOM_SHARE = 0.15
    for _ in range(60):
        answered()
    items = queue.lease_next(actor=reviewer, rule=LabelReason.DOUBT, count=60, randomness=random.Random(7))
    drawn = [item for item in items if item.reason == LabelReason.RANDOM]
    assert len(items) == 60
    assert 3 <= len(drawn) <= 18


def test_the_random_share_comes_mainly_from_the_holdout_fold(reviewer):
    for number in range(60):
        answered(fold=Fold.HOLDOUT if number % 5 == 0 else Fold.TRAIN)
    shown = take(reviewer, LabelReason.RANDOM, count=10, seed=3)
    holdout = sum(one.fold == Fold.HOLDOUT for one in shown)
    assert 6 <= holdout <= 10


def test_the_random_draw_reaches_everything(reviewer):
    everything = {answered(digest=start * 64) for start in "147adf"}
    drawn = set()
    for seed in range(30):
        drawn |= set(take(reviewer, LabelReason.RANDOM, seed=seed))
        queue.release_leases(actor=reviewer)
    assert drawn == everything


def test_visitors_and_accounts_without_the_permission_have_no_queue(visitor):
    for actor in (visitor, Actor(), Actor(user=User.objects.create_user("ann"))):
        with pytest.raises(labels.NotAllowedError):
            queue.lease_next(actor=actor, rule=LabelReason.DOUBT)
