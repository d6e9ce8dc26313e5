"""Statistics of visible submissions."""

import pytest

from recognizer.models import LabelReason, Verdict
from recognizer.services.ops import submission_stats
from recognizer.services.review import labels
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db


def test_stats_count_visible_submissions(visitor, stranger, reviewer, django_assert_num_queries):
    right, wrong = make_submission(visitor), make_submission(visitor, source="api")
    make_prediction(right)
    make_prediction(wrong, digit=4, verdict=Verdict.UNSURE)
    make_submission(stranger)
    labels.record_label(actor=reviewer, submission=right, value="7", reason=LabelReason.RANDOM)
    labels.record_label(actor=reviewer, submission=wrong, value="9", reason=LabelReason.RANDOM)
    with django_assert_num_queries(2):
        stats = submission_stats.stats_for(visitor)
    assert (stats.submissions, stats.settled, stats.settled_correct, stats.live_version) == (2, 2, 1, 1)
    assert stats.by_state == {"pending": 0, "predicted": 2, "failed": 0}
    assert stats.by_source == {"canvas": 1, "upload": 0, "api": 1, "import": 0}
    assert stats.by_truth_state == {"none": 0, "provisional": 0, "settled": 2, "disputed": 0}
    assert {digit for digit, count in stats.by_digit.items() if count} == {"4", "7"}
    assert stats.by_verdict["sure"] == stats.by_verdict["unsure"] == 1
    assert submission_stats.stats_for(reviewer).submissions == 3
    assert submission_stats.stats_for(stranger).by_state == {"pending": 1, "predicted": 0, "failed": 0}
