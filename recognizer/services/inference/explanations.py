"""Why a submission got its answer: which of its pixels the answer leaned on. For its page and the JSON API.

Worked out by whoever is asked, on LiteRT: 5 ms of CPU, so neither the worker's queue nor a table is needed for it.
"""

import threading

import numpy as np

from ml.serving.classifier import Classifier
from ml.serving.occlusion import explain
from recognizer.models import ModelVersion, Submission
from recognizer.services.registry import versions

# One interpreter for the whole process, whatever the number of its threads: explanations are rare.
_lock = threading.Lock()
_loaded: tuple[int, Classifier] | None = None


class NothingToExplainError(ValueError):
    """The submission has no answer yet."""


def explanation(submission: Submission) -> tuple[ModelVersion, np.ndarray]:
    """The version of the latest answer, and what each pixel did for it: (28, 28) float32 in -1..1.

    Raises:
        NothingToExplainError: there is no answer yet.
        ml.serving.bundle.BundleError: that version's files were pruned or are damaged.
    """
    if submission.latest_prediction is None:
        raise NothingToExplainError("There is no answer yet that could be explained.")
    version = ModelVersion.objects.get(pk=submission.latest_prediction.version_id)
    pixels = np.frombuffer(bytes(submission.pixels), np.uint8).reshape(28, 28)
    with _lock:
        return version, explain(_classifier_of(version), pixels)


def _classifier_of(version: ModelVersion) -> Classifier:
    global _loaded  # noqa: PLW0603 - a cache of one, guarded by _lock
    if _loaded is None or _loaded[0] != version.pk:
        _loaded = version.pk, versions.classifier_of(version)
    return _loaded[1]
