"""`manage.py demo`: adds and removes marked demo data."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from digitsite.testing.site import wait_until
from recognizer.models import Label, LabelKind, LabelReason, Prediction, Submission, TruthState
from recognizer.services.registry import versions
from recognizer.services.review import confusion_matrix, labels, statistics
from tests.factories import make_submission

pytestmark = pytest.mark.django_db


def demo(*words: str) -> str:
    out = StringIO()
    call_command("demo", *words, stdout=out)
    return out.getvalue()


def test_demo_data_can_be_reviewed_trained_and_removed(media, visitor, reviewer, django_capture_on_commit_callbacks):
    own = make_submission(visitor)
    label = labels.record_label(actor=reviewer, submission=own, value="3", reason=LabelReason.API).label
    demo("--count", "120")
    demo_submissions = Submission.objects.filter(demo=True)
    assert demo_submissions.count() == Prediction.objects.count() == 120
    assert demo_submissions.exclude(digit=None).count() == 120
    assert demo_submissions.values("visitor").distinct().count() > 3
    assert demo_submissions.filter(truth_state=TruthState.SETTLED).count() >= 20
    assert demo_submissions.filter(truth_state=TruthState.NONE).count() >= 40
    assert Submission.objects.trainable().filter(demo=True).exists()
    by_day, by_version = statistics.accuracy_on_traffic()
    assert len(by_day) >= 3
    assert by_version[0].total >= 5
    assert confusion_matrix.matrix_for_version(versions.live_version()).total >= 20
    # The demo reviewer does not count as an active reviewer.
    assert labels.record_label(actor=reviewer, submission=own, value="4", reason=LabelReason.API).label.value == "4"
    own.refresh_from_db()
    assert own.truth_state == TruthState.SETTLED
    with pytest.raises(CommandError, match="--remove"):
        demo()

    with django_capture_on_commit_callbacks(execute=True):
        assert "120" in demo("--remove")
    assert list(Submission.objects.all()) == [own]
    assert set(Label.objects.values_list("submission", flat=True)) == {own.pk}
    assert label.pk in set(Label.objects.filter(kind=LabelKind.REVIEW).values_list("pk", flat=True))
    assert not Prediction.objects.exists()
    assert [path for path in media.rglob("*") if path.is_file()] == []
    assert list(User.objects.all()) == [reviewer.user]


def test_demo_leaves_no_replies_in_redis(make_site):
    site = make_site(PREDICTION_WAIT_SECONDS="0.01")  # shorter than any prediction
    site.start_redis()
    site.start_worker()
    with site.entered():
        demo("--count", "100")
        assert Prediction.objects.count() == 100
        wait_until(lambda: not site.redis().xlen("stream:predictions"))
        assert site.redis().keys("replies:*") == []


def test_same_seed_gives_same_images(media):
    demo("--count", "5", "--seed", "4")
    first = sorted(Submission.objects.values_list("digest", flat=True))
    demo("--remove")
    demo("--count", "5", "--seed", "4")
    assert sorted(Submission.objects.values_list("digest", flat=True)) == first


def test_invalid_count_is_rejected(media):
    for count in ("0", "100000"):
        with pytest.raises(CommandError):
            demo("--count", count)
    assert not Submission.objects.exists()
