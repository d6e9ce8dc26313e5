"""Rows of submissions by simulated writers with settled labels."""

import hashlib
import json

from digitsite.testing.writers import Hand, drawings
from ml.preprocessing import PREPROCESSING_VERSION, prepare_strokes
from recognizer.models import Fold, Submission, SubmissionState, TruthState
from tests.factories import make_submission


def settle_drawings(hands: list[Hand], n: int, *, fold: str = Fold.TRAIN, seed: int = 1) -> list[Submission]:
    """Create `n` submissions with settled labels. Each hand is a separate drawer."""
    rows = []
    for hand, digit, strokes in drawings(hands, n, seed):
        prepared = prepare_strokes(strokes)
        drawer = hashlib.sha256(repr(hand).encode()).hexdigest()[:32]
        rows.append(
            make_submission(
                visitor=drawer,
                strokes=strokes,
                digest=hashlib.sha256(json.dumps(strokes).encode()).hexdigest(),
                pixels=prepared.pixels.tobytes(),
                ink=prepared.ink,
                preprocessing_version=PREPROCESSING_VERSION,
                fold=fold,
                state=SubmissionState.PREDICTED,
                truth=str(digit),
                truth_state=TruthState.SETTLED,
            )
        )
    return rows
