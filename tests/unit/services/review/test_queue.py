"""Review queue: order, leases and reasons."""

import random
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from recognizer.models import Fold, Label, LabelReason, Lease, Submission, TruthState, Verdict
from recognizer.services.identity.actors import Actor
from recognizer.services.review import labels, queue
from tests.factories import make_prediction, make_submission, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_random_share(settings):
    settings.REVIEW_RANDOM_SHARE = 0


@pytest.fixture
def second_reviewer() -> Actor:
    user = User.objects.create_user("rolf")
    user.groups.add(Group.objects.get(name="reviewer"))
    return Actor(user=user)


def make_predicted(doubt: float = 0.5, **columns) -> Submission:
    submission = make_submission(**columns)
    make_prediction(submission, doubt=doubt, verdict=Verdict.UNSURE)
    return submission


def take(actor, rule=LabelReason.DOUBT, count=1, seed=1) -> list[Submission]:
    return [
        item.submission
        for item in queue.lease_next(actor=actor, rule=rule, count=count, randomness=random.Random(seed))
    ]


def review(actor, submission, value="7", reason=LabelReason.DOUBT) -> Label:
    return labels.record_label(actor=actor, submission=submission, value=value, reason=reason).label


def test_highest_doubt_comes_first(reviewer):
    low, high, middle = make_predicted(0.1), make_predicted(0.9), make_predicted(0.5)
    assert take(reviewer, count=3) == [high, middle, low]


def test_contradicted_submissions_come_before_doubtful(reviewer, visitor):
    make_predicted(0.9)
    contradicted = make_predicted(0.1)
    labels.record_label(actor=visitor, submission=contradicted, value="1", reason=LabelReason.OWN_PAGE)
    [item] = queue.lease_next(actor=reviewer, rule=LabelReason.DOUBT, count=1)
    assert (item.submission, item.reason, item.blind) == (contradicted, LabelReason.SUGGESTION, False)


def test_pending_failed_and_settled_are_not_shown(reviewer):
    make_submission()
    make_submission(state="failed", failure="unreadable")
    review(reviewer, make_predicted())
    assert take(reviewer) == []


def test_newest_rule_shows_newest_first(reviewer):
    old, new = make_predicted(0.9), make_predicted(0.1)
    assert take(reviewer, LabelReason.NEWEST, count=2) == [new, old]


def test_disagreement_rule_shows_differing_predictions(reviewer):
    make_predicted(0.9)
    disputed = make_predicted(0.1)
    make_prediction(disputed, version=make_version(), digit=1, runner_up=7)
    assert take(reviewer, LabelReason.DISAGREEMENT, count=5) == [disputed]


def test_reviewers_never_share_an_item(reviewer, second_reviewer):
    for _ in range(6):
        make_predicted()
    own_items, other_items = take(reviewer, count=3), take(second_reviewer, count=3)
    assert not set(own_items) & set(other_items)
    assert len(own_items) == len(other_items) == 3


def test_repeated_request_returns_leased_items(reviewer):
    for _ in range(4):
        make_predicted()
    assert take(reviewer, count=2) == take(reviewer, count=2)
    assert Lease.objects.count() == 2


def test_item_is_free_after_lease_expiry(reviewer, second_reviewer):
    submission = make_predicted()
    assert take(reviewer) == [submission]
    assert take(second_reviewer) == []
    Lease.objects.update(expires=timezone.now() - timedelta(seconds=1))
    assert take(second_reviewer) == [submission]
    assert take(reviewer) == []


def test_released_items_are_free_immediately(reviewer, second_reviewer):
    submission = make_predicted()
    take(reviewer)
    Lease.objects.filter(reviewer=reviewer.user).delete()
    assert take(second_reviewer) == [submission]


def test_skipped_item_comes_last_for_its_reviewer(reviewer, second_reviewer):
    hard, easy = make_predicted(0.9), make_predicted(0.1)
    assert take(reviewer) == [hard]
    queue.skip(actor=reviewer, submission=hard)
    assert take(reviewer) == [easy]
    assert take(second_reviewer) == [hard]
    Lease.objects.filter(reviewer=second_reviewer.user).delete()
    review(reviewer, easy)
    assert take(reviewer) == [hard]


def test_copies_are_shown_once_and_labelled_together(reviewer, second_reviewer):
    first = make_predicted(digest="d" * 64)
    copy = make_predicted(digest="d" * 64)
    [items_shown] = take(reviewer, count=5)
    assert take(second_reviewer) == []
    review(reviewer, items_shown)
    for row in (first, copy):
        row.refresh_from_db()
        assert (row.truth, row.truth_state) == ("7", TruthState.SETTLED)


def test_later_copy_takes_over_settled_label(reviewer, second_reviewer):
    review(reviewer, make_predicted(digest="d" * 64))
    late = make_predicted(digest="d" * 64)
    assert take(second_reviewer) == []
    late.refresh_from_db()
    assert (late.truth, late.truth_state) == ("7", TruthState.SETTLED)


def test_contradicted_sure_prediction_is_blind_for_second_reviewer(reviewer, second_reviewer):
    review(second_reviewer, make_predicted())
    sure = make_submission()
    make_prediction(sure)
    review(reviewer, sure, "1")
    assert take(reviewer) == []
    [item] = queue.lease_next(actor=second_reviewer, rule=LabelReason.DOUBT, count=1)
    assert (item.submission, item.reason, item.blind) == (sure, LabelReason.SECOND_OPINION, True)


def test_single_reviewer_gets_blind_second_look_later(reviewer):
    sure = make_submission()
    make_prediction(sure)
    label = review(reviewer, sure, "1")
    assert take(reviewer, LabelReason.SUSPECT) == []
    Label.objects.filter(pk=label.pk).update(created=timezone.now() - timedelta(days=2))
    [item] = queue.lease_next(actor=reviewer, rule=LabelReason.SUSPECT, count=1)
    assert (item.submission, item.blind) == (sure, True)
    again = review(reviewer, sure, "1", LabelReason.SUSPECT)
    Label.objects.filter(pk=again.pk).update(created=timezone.now() - timedelta(days=2))
    assert take(reviewer, LabelReason.SUSPECT) == []


def test_random_share_is_mixed_in_with_its_reason(reviewer, settings):
    settings.REVIEW_RANDOM_SHARE = 0.15
    for _ in range(60):
        make_predicted()
    items = queue.lease_next(actor=reviewer, rule=LabelReason.DOUBT, count=60, randomness=random.Random(7))
    sample = [item for item in items if item.reason == LabelReason.RANDOM]
    assert len(items) == 60
    assert 3 <= len(sample) <= 18


def test_random_share_prefers_holdout_fold(reviewer):
    for number in range(60):
        make_predicted(fold=Fold.HOLDOUT if number % 5 == 0 else Fold.TRAIN)
    items_shown = take(reviewer, LabelReason.RANDOM, count=10, seed=3)
    holdout = sum(row.fold == Fold.HOLDOUT for row in items_shown)
    assert 6 <= holdout <= 10


def test_random_sample_reaches_every_submission(reviewer):
    expected = {make_predicted(digest=start * 64) for start in "147adf"}
    sample = set()
    for seed in range(30):
        sample |= set(take(reviewer, LabelReason.RANDOM, seed=seed))
        Lease.objects.filter(reviewer=reviewer.user).delete()
    assert sample == expected


def test_queue_requires_review_permission(visitor):
    for actor in (visitor, Actor(), Actor(user=User.objects.create_user("ann"))):
        with pytest.raises(labels.NotAllowedError):
            queue.lease_next(actor=actor, rule=LabelReason.DOUBT)
