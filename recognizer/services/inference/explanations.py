"""Explanations: how much each pixel contributed to a prediction.

Computed with LiteRT in the web process: it takes 5 ms of CPU, so it needs neither the worker's queue nor a table.
"""

import threading

import numpy as np
import numpy.typing as npt

from ml.serving.classifier import Classifier
from ml.serving.occlusion import explain
from recognizer.models import ModelVersion, Submission
from recognizer.services.registry import versions

# One interpreter for all threads of the process: explanations are rare.
_lock = threading.Lock()
_loaded: tuple[int, Classifier] | None = None


class NothingToExplainError(ValueError):
    """The submission has no prediction yet."""


def explanation(submission: Submission) -> tuple[ModelVersion, npt.NDArray[np.float32]]:
    """Explain the latest prediction of a submission.

    Args:
        submission: The submission, with its pixels.

    Returns:
        The model version of the prediction, and the contribution of each pixel: (28, 28) float32 in -1..1.

    Raises:
        NothingToExplainError: The submission has no prediction yet.
        ml.serving.bundle.BundleError: The files of that version were pruned or are damaged.
    """
    if submission.latest_prediction is None:
        raise NothingToExplainError("There is no answer yet that could be explained.")
    version = ModelVersion.objects.get(pk=submission.latest_prediction.version_id)
    with _lock:
        return version, explain(_classifier_of(version), submission.seen_pixels)


def _classifier_of(version: ModelVersion) -> Classifier:
    global _loaded  # noqa: PLW0603 - a cache of one classifier, guarded by _lock
    if _loaded is None or _loaded[0] != version.pk:
        _loaded = version.pk, versions.classifier_of(version)
    return _loaded[1]
