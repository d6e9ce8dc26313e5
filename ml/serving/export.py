"""Keras file to served model: the same weights as a LiteRT model that gives logits.

Used by `ml.training.loop` after a training, and by `ml.serving.classifier` when Keras itself serves. The served model
*is* the Keras model: every weight is copied and only the last softmax is left off, because the energy of an answer
cannot be had back from its probabilities.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ml.serving.bundle import BundleError

if TYPE_CHECKING:
    import keras


def weights_sha256(model: keras.Model) -> str:
    """Fingerprint of a model's weights. (The bytes of a .keras file differ with every save.)"""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(f"{weight.dtype}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def build_logits_model(model: keras.Model) -> keras.Model:
    """A functional copy of `ml.training.model`'s network that ends before the softmax and drops the dropout.

    Returns:
        A Keras model with copied weights, (N, 28, 28, 1) float32 in 0..1 to (N, 10) logits.
    """
    import keras

    inputs = keras.Input(model.input_shape[1:])
    x = inputs
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            continue
        config = layer.get_config()
        if layer is model.layers[-1]:
            config |= {"activation": "linear", "name": "logits"}
        x = type(layer).from_config(config)(x)
    twin = keras.Model(inputs, x, name="logits_twin")
    twin.set_weights(model.get_weights())
    return twin


def to_litert(model: keras.Model) -> bytes:
    """Convert a trained model to a LiteRT model that gives logits.

    From a functional twin and `from_keras_model`: conversion from a concrete function that captures a Keras 3 model
    succeeds without a word and gives NaN.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(build_logits_model(model))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the signature of a temporary file
        return converter.convert()


def save_keras(model: keras.Model, path: Path) -> None:
    """Write the model without the optimizer's state: 0.93 MB instead of 2.7."""
    plain = type(model).from_config(model.get_config())  # never compiled, so it has no optimizer to save
    plain.set_weights(model.get_weights())
    plain.save(path)


def load_keras(data: bytes, *, sha256: str | None = None) -> keras.Model:
    """Load a .keras file from bytes, in safe mode (no code in the file is run).

    Raises:
        BundleError: missing, not the recorded file, or unreadable.
    """
    import keras

    if not data:
        raise BundleError("The Keras model is missing: there are no bytes to load.")
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise BundleError("The Keras model is not the one that was recorded: its sha256 differs.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        path.write_bytes(data)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # zip, JSON, HDF5 and Keras each raise their own
            raise BundleError(f"The Keras model is damaged and cannot be read ({error}).") from error
