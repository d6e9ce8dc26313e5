"""Factories for database rows."""

import hashlib
import itertools

import numpy as np

from ml.readings import Reading, ReadingKind, encode_further
from ml.versions import PREPROCESSING_VERSION
from recognizer.models import Fold, ModelFiles, ModelVersion, Prediction, Source, Submission, SubmissionState, Verdict
from recognizer.services.identity.actors import Actor
from recognizer.services.registry import versions
from tests.image_samples import seven_pixels

_numbers = itertools.count(1)


def make_submission(actor: Actor | None = None, **columns: object) -> Submission:
    """Create a pending submission without an image file."""
    actor = actor or Actor(visitor="a" * 32)
    digest = hashlib.sha256(str(next(_numbers)).encode()).hexdigest()
    return Submission.objects.create(
        **{
            "source": Source.CANVAS,
            "owner": actor.user,
            "visitor": "" if actor.user else actor.visitor,
            "picture": f"pictures/{digest[:2]}/{digest}.png",
            "picture_type": "image/png",
            "picture_width": 280,
            "picture_height": 280,
            "digest": digest,
            "fold": Fold.TRAIN,
            "pixels": bytes(784),
            "preprocessing_version": PREPROCESSING_VERSION,
        }
        | columns
    )


def make_boxed_submission(actor: Actor | None = None, **columns: object) -> Submission:
    """Create a submission without ink in the plain reading, and with a 7 in the reading without a frame."""
    readings = [Reading(ReadingKind.PLAIN, np.zeros((28, 28), np.uint8)), Reading(ReadingKind.UNMARKED, seven_pixels())]
    further_pixels, further_ink = encode_further(readings)
    return make_submission(actor, **{"further_pixels": further_pixels, "further_ink": further_ink} | columns)


def make_prediction(submission: Submission, *, version: ModelVersion | None = None, **columns: object) -> Prediction:
    """Create a prediction, by default a sure 7, and make it the latest one of the submission."""
    prediction = Prediction.objects.create(
        **{
            "submission": submission,
            "version": version or versions.live_version(),
            "preprocessing_version": submission.preprocessing_version,
            "probabilities": [0, 0, 0, 0, 0, 0, 0, 0.99, 0, 0.01],
            "digit": 7,
            "certainty": 0.99,
            "runner_up": 9,
            "energy": -9.0,
            "doubt": 0.02,
            "verdict": Verdict.SURE,
            "milliseconds": 0.1,
        }
        | columns
    )
    submission.latest_prediction = prediction
    for name in ("doubt", "digit", "certainty", "verdict"):
        setattr(submission, name, getattr(prediction, name))
    submission.answered_by = prediction.version.number
    submission.models_disagree = submission.predictions.exclude(digit=prediction.digit).exists()
    submission.state = SubmissionState.PREDICTED
    submission.save()
    return prediction


def make_version(number: int = 2) -> ModelVersion:
    """Create a version with the files of the shipped model."""
    base = ModelVersion.objects.get(number=1)
    files = base.files
    base.pk, base.number = None, number
    base._state.adding = True
    base.save()
    ModelFiles.objects.create(version=base, keras_file=files.keras_file, bundle=files.bundle)
    return base
