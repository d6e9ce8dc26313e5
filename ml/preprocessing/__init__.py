"""From a picture or from strokes to the 28x28 uint8 that the model sees. Pure, deterministic, versioned."""

import cv2

from ml.preprocessing.image_pipeline import prepare_image
from ml.preprocessing.normalization import Prepared
from ml.preprocessing.stroke_pipeline import prepare_strokes
from ml.preprocessing.strokes import FRAME, StrokesError, parse_pens, parse_strokes, render_strokes
from ml.versions import PREPROCESSING_VERSION

__all__ = [
    "FRAME",
    "PREPROCESSING_VERSION",
    "Prepared",
    "StrokesError",
    "parse_pens",
    "parse_strokes",
    "prepare_image",
    "prepare_strokes",
    "render_strokes",
]

# Pictures are a few hundred pixels wide here: handing them round between threads takes longer than the work,
# and the processes that call this are many.
cv2.setNumThreads(1)
