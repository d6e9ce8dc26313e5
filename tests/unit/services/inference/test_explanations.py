"""Explanations of predictions."""

import numpy as np
import pytest

from recognizer.services.inference import explanations
from recognizer.services.registry import versions
from tests.factories import make_prediction, make_submission
from tests.image_samples import seven_pixels

pytestmark = pytest.mark.django_db


def test_explanation_is_by_version_of_latest_prediction():
    submission = make_submission(pixels=seven_pixels().tobytes())
    make_prediction(submission)
    version, leaning = explanations.explanation(submission)
    assert version == versions.live_version()
    assert np.abs(leaning).max() == 1


def test_pending_submission_has_no_explanation():
    with pytest.raises(explanations.NothingToExplainError):
        explanations.explanation(make_submission())
