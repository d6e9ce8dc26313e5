"""Review statistics, compared with values computed by hand."""

from datetime import timedelta

import pytest
from django.utils import timezone

from digitsite.testing.populated_site import second_version
from recognizer.models import Label, LabelReason, Prediction, Verdict
from recognizer.services.review import labels, queue, statistics
from tests.factories import make_prediction, make_submission

# Prefixes of timestamps must be the same text on both databases.
pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def make_reviewed(actor, value="7", *, reason=LabelReason.RANDOM, digit=7):
    submission = make_submission()
    make_prediction(submission, digit=digit, runner_up=(digit + 1) % 10, verdict=Verdict.UNSURE)
    labels.record_label(actor=actor, submission=submission, value=value, reason=reason)
    return submission


def test_accuracy_uses_random_share_only(reviewer):
    for value in ("7", "7", "7", "1"):
        make_reviewed(reviewer, value)
    make_reviewed(reviewer, "3", reason=LabelReason.DOUBT)
    make_reviewed(reviewer, "not_a_digit")
    _, [version] = statistics.accuracy_on_traffic()
    assert (version.name, version.right, version.total) == (1, 3, 4)
    assert version.share == 0.75
    assert version.interval == pytest.approx((0.3006, 0.9544), abs=1e-3)


def test_accuracy_uses_first_prediction(reviewer):
    submission = make_reviewed(reviewer, "1")
    make_prediction(submission, version=second_version(), digit=1, runner_up=7)
    _, [version] = statistics.accuracy_on_traffic()
    assert (version.name, version.right) == (1, 0)


def test_accuracy_by_day_uses_day_of_prediction(reviewer):
    first, second = make_reviewed(reviewer, "7"), make_reviewed(reviewer, "1")
    two_days_ago = timezone.now() - timedelta(days=2)
    Prediction.objects.filter(submission=first).update(created=two_days_ago)
    days, _ = statistics.accuracy_on_traffic()
    assert [(share.name, share.right, share.total) for share in days] == [
        (two_days_ago.date(), 1, 1),
        (second.created.date(), 0, 1),
    ]


def test_retracted_labels_do_not_count(reviewer):
    submission = make_reviewed(reviewer, "7")
    queue.undo(actor=reviewer, submission=submission)
    assert statistics.accuracy_on_traffic() == ([], [])


def test_agreement_counts_pairs_of_last_labels(reviewer, second_reviewer, operator):
    agreed, disagreed = make_reviewed(reviewer, "7"), make_reviewed(reviewer, "7")
    make_reviewed(reviewer, "2")
    for submission, value in ((agreed, "1"), (agreed, "7"), (disagreed, "1")):
        labels.record_label(
            actor=second_reviewer, submission=submission, value=value, reason=LabelReason.SECOND_OPINION
        )
    labels.record_label(actor=operator, submission=disagreed, value="1", reason=LabelReason.SECOND_OPINION)
    agreement = statistics.agreement()
    assert (agreement.right, agreement.total) == (2, 4)


def test_progress_has_todays_count_and_pace(reviewer, second_reviewer, settings):
    settings.RETRAIN_AFTER_LABELS = 10
    for _ in range(6):
        make_reviewed(reviewer)
    make_reviewed(second_reviewer)
    Label.objects.filter(user=reviewer.user).update(created=timezone.now() - timedelta(minutes=2))
    make_prediction(make_submission())
    progress = statistics.progress(reviewer)
    assert progress.per_minute == pytest.approx(3, rel=0.1)
    assert (progress.waiting, progress.until_training) == (1, 3)
    settings.RETRAIN_AFTER_LABELS = 0
    assert statistics.progress(reviewer).until_training is None


def test_decisions_by_day_includes_empty_days(reviewer):
    make_reviewed(reviewer)
    days = statistics.decisions_by_day()
    assert len(days) == statistics.PERIOD.days
    assert days[-1] == (timezone.now().date(), 1)
    assert sum(count for _, count in days) == 1


def test_pace_counts_only_minutes_with_decisions(reviewer):
    for _ in range(4):
        make_reviewed(reviewer)
    ids = list(Label.objects.values_list("pk", flat=True))
    start = timezone.now().replace(second=0, microsecond=0) - timedelta(hours=1)
    Label.objects.filter(pk__in=ids[:3]).update(created=start)
    Label.objects.filter(pk=ids[3]).update(created=start + timedelta(minutes=40))
    [pace] = statistics.reviewer_paces()
    assert (pace.reviewer, pace.decisions, pace.minutes, pace.per_minute) == ("rita", 4, 2, 2.0)
