"""Preprocessing and inference that all peers share.

PEER_READING selects the preprocessing: `ours` (`ml.serving.images` and `ml.preprocessing`, as the site does) or `naive`
(grey, 28x28, / 255). PEER_ENGINE selects the inference of a batch: `predict`, `function` (a warmed `tf.function`) or
`litert`.
"""

import io
import os
from collections.abc import Callable

import numpy as np
from PIL import Image

from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE, KERAS_FILE

Classify = Callable[[np.ndarray], np.ndarray]
BATCH, BATCH_SECONDS = 32, 0.005


def pixels(data: bytes) -> np.ndarray:
    """Return the image in a file as (28, 28) uint8, white ink on black."""
    if os.environ.get("PEER_READING", "ours") == "naive":
        return np.asarray(Image.open(io.BytesIO(data)).convert("L").resize((28, 28)))
    from ml.preprocessing import prepare_image
    from ml.serving.images import open_image, read

    return prepare_image(read(open_image(data))).pixels


def engine() -> Classify:
    """Return a warmed-up function from images of shape (N, 28, 28), uint8, to N digits."""
    name = os.environ.get("PEER_ENGINE", "function")
    classify = {"predict": _predict, "function": _function, "litert": _litert}[name]()
    for size in (1, 2, BATCH):
        classify(np.zeros((size, 28, 28), np.uint8))
    return classify


def _inputs(batch: np.ndarray) -> np.ndarray:
    return batch.astype(np.float32)[..., np.newaxis] / 255


def _predict() -> Classify:
    import keras

    model = keras.saving.load_model(BASE_FOLDER / KERAS_FILE)
    return lambda batch: model.predict(_inputs(batch), verbose=0).argmax(axis=1)


def _function() -> Classify:
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(BASE_FOLDER / KERAS_FILE)
    signature = [tf.TensorSpec((None, 28, 28, 1), tf.float32)]
    function = tf.function(lambda inputs: model(inputs, training=False), input_signature=signature)
    return lambda batch: function(_inputs(batch)).numpy().argmax(axis=1)


def _litert() -> Classify:
    from ml.serving.classifier import load_classifier

    classifier = load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes(), sha256=None)
    return lambda batch: np.array([answer.digit for answer in classifier.answer(batch)])
