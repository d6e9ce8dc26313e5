"""Conversion of Keras models to LiteRT models that return logits.

The served model has the same weights as the Keras model. Only the last softmax is removed, because the energy of an
answer cannot be computed from its probabilities.
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
    """Return a fingerprint of a model's weights. The bytes of a .keras file differ with every save."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(f"{weight.dtype}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def build_logits_model(model: keras.Model) -> keras.Model:
    """Build a functional copy of a model without the softmax and the dropout layers.

    Args:
        model: a network of `ml.training.model`.

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
    # The name becomes part of the converted model, so a change alters its bytes.
    logits_model = keras.Model(inputs, x, name="logits_twin")
    logits_model.set_weights(model.get_weights())
    return logits_model


def to_litert(model: keras.Model) -> bytes:
    """Convert a trained model to a LiteRT model that returns logits.

    The conversion uses a functional copy and `from_keras_model`. Conversion from a concrete function that captures a
    Keras 3 model succeeds without an error, but the result returns NaN.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(build_logits_model(model))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the signature of a temporary file
        converted: bytes = converter.convert()
    return converted


def save_keras(model: keras.Model, path: Path) -> None:
    """Write the model without the state of the optimizer: 0.93 MB instead of 2.7 MB."""
    plain = type(model).from_config(model.get_config())  # not compiled, so it has no optimizer
    plain.set_weights(model.get_weights())
    plain.save(path)


def load_keras(data: bytes, *, sha256: str | None = None) -> keras.Model:
    """Load a .keras file from bytes in safe mode, which does not execute code from the file.

    Args:
        data: the bytes of the file.
        sha256: the expected SHA-256 of the file, if known.

    Raises:
        BundleError: the file is missing, damaged, or has another SHA-256.
    """
    import keras

    if not data:
        raise BundleError("The Keras model is missing: there are no bytes to load.")
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise BundleError("The Keras model does not match its record: its sha256 differs.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        path.write_bytes(data)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # zip, JSON, HDF5 and Keras raise different types
            raise BundleError(f"The Keras model is damaged and cannot be read ({error}).") from error
