"""Preprocessing: images and strokes to the model's 28x28 uint8 input. Pure, deterministic and versioned."""

import cv2

from ml.preprocessing.image_pipeline import prepare_image
from ml.preprocessing.normalization import Prepared
from ml.preprocessing.stroke_pipeline import prepare_strokes
from ml.preprocessing.strokes import FRAME, StrokesError, parse_pens, parse_strokes, render_strokes
from ml.versions import PREPROCESSING_VERSION, SIDE

__all__ = [
    "FRAME",
    "PREPROCESSING_VERSION",
    "SIDE",
    "Prepared",
    "StrokesError",
    "parse_pens",
    "parse_strokes",
    "prepare_image",
    "prepare_strokes",
    "render_strokes",
]

# Images are a few hundred pixels wide at this point, so distributing the work over threads takes longer than the work,
# and several processes run at the same time.
cv2.setNumThreads(1)
