"""Classifier: 28x28 pixels to answers with calibrated probabilities, an energy, a doubt and a verdict.

The runtime "litert" runs the LiteRT model of a bundle without importing TensorFlow; the runtime "keras" runs the Keras
file through one `tf.function`.

    python -c "
    import numpy as np; from ml.serving.bundle import BASE_FOLDER; from ml.serving.classifier import load_classifier
    classifier = load_classifier((BASE_FOLDER / 'model.bundle').read_bytes())
    print(classifier.answer(np.zeros((1, 28, 28), np.uint8)))"
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from ml.serving import bundle as bundles
from ml.serving.bundle import BundleError, Manifest
from ml.serving.choice import choose_answer
from ml.serving.verdicts import Answer, Verdict
from ml.versions import SIDE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from ml.readings import Reading

    Features = Mapping[str, Any]

Runtime = Literal["litert", "keras"]
# Maximum batch size of one model call. Larger batches are no faster per image, and the interpreter keeps the memory of
# its largest batch: 3 MB for 16 images, 10 MB for 64, 32 MB for 256.
MAX_BATCH_SIZE = 16


class Classifier(Protocol):
    """Interface of a classifier. Not thread-safe: load one for each thread."""

    @property
    def manifest(self) -> Manifest:
        """The manifest of the model."""

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Compute logits.

        Args:
            pixels: (N, 28, 28) uint8.

        Returns:
            (N, 10) float32.

        Raises:
            ValueError: the shape or dtype is wrong.
        """

    def answer(self, pixels: np.ndarray, ink: Sequence[Features] | None = None) -> list[Answer]:
        """Classify images.

        Args:
            pixels: (N, 28, 28) uint8.
            ink: for each image, the features of `ml.preprocessing.Prepared.ink`.

        Returns:
            N answers.

        Raises:
            ValueError: the shape or dtype is wrong.
        """

    def answer_readings(self, images: Sequence[Sequence[Reading]]) -> list[Answer]:
        """Classify images, each by the one of its readings that `ml.serving.choice` chooses.

        Args:
            images: the readings of each image, the plain one first.

        Returns:
            N answers, with the verdict by the pixels and features of the chosen reading.

        Raises:
            ValueError: the shape or dtype of a reading is wrong, or an image has no reading.
        """


def load_classifier(
    bundle: bytes,
    *,
    sha256: str | None = None,
    runtime: Runtime = "litert",
    keras_file: bytes | None = None,
    keras_sha256: str | None = None,
) -> Classifier:
    """Validate a bundle and create a classifier from it.

    Args:
        bundle: the serving bundle.
        sha256: the expected SHA-256 of the bundle.
        runtime: "litert" runs the model of the bundle; "keras" runs `keras_file` with the manifest of the bundle.
        keras_file: the bytes of the .keras file; used by the runtime "keras" only.
        keras_sha256: the expected SHA-256 of the .keras file.

    Raises:
        BundleError: a file is missing, damaged or not the expected one, or the runtime is unknown.
    """
    contents = bundles.read(bundle, sha256=sha256)
    if runtime == "litert":
        return _LiteRTClassifier(contents.model, contents.manifest)
    if runtime == "keras":
        return _KerasClassifier(keras_file or b"", keras_sha256, contents.manifest)
    raise BundleError(f"The inference runtime must be 'litert' or 'keras', not {runtime!r}.")


def choose_pixels(classifier: Classifier, images: Sequence[Sequence[Reading]]) -> np.ndarray:
    """Return the pixels of the reading that a model chooses for each image.

    Args:
        classifier: the model.
        images: the readings of each of N images, the plain one first.

    Returns:
        (N, 28, 28) uint8.
    """
    answers = iter(classifier.answer_readings([readings for readings in images if len(readings) > 1]))
    pixels = [readings[next(answers).reading if len(readings) > 1 else 0].pixels for readings in images]
    return np.stack(pixels) if pixels else np.zeros((0, SIDE, SIDE), np.uint8)


def to_input(pixels: np.ndarray) -> np.ndarray:
    """Convert (N, 28, 28) uint8 pixels to the model's input, (N, SIDE, SIDE, 1) float32 in 0..1."""
    inputs: np.ndarray = (pixels.astype(np.float32) / 255.0)[..., None]
    return inputs


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Convert (N, 10) logits to (N, 10) float64 probabilities. A temperature below 1 makes them more certain."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def energy(logits: np.ndarray) -> np.ndarray:
    """Convert (N, 10) logits to (N,) energies, -log sum exp (Liu et al., "Energy-based Out-of-distribution Detection").

    The logits are centred first, because cross-entropy does not determine their mean, and its random offset hides the
    energy: uncentred, 16 % of non-digits lie above 98 % of the digits; centred, 65 %. At -2.3 (minus log 10) all digits
    are equally likely.
    """
    centred = logits.astype(np.float64) - logits.mean(axis=1, keepdims=True)
    top = centred.max(axis=1)
    energies: np.ndarray = -(top + np.log(np.exp(centred - top[:, None]).sum(axis=1)))
    return energies


def decide(
    logits: np.ndarray,
    manifest: Manifest,
    ink: Sequence[Features] | None = None,
    blank: Sequence[bool] | npt.NDArray[np.bool_] | None = None,
) -> list[Answer]:
    """Convert logits to answers.

    Args:
        logits: (N, 10).
        manifest: temperature and thresholds.
        ink: for each image, the features of `ml.preprocessing.Prepared.ink`: "several" (several digits side by side)
            and "dot" (a single dot) decide the verdict, and "doubtful" (noise, a pattern) rules out "sure".
        blank: for each image, whether it has no ink.

    Returns:
        N answers.
    """
    n = len(logits)
    probabilities = softmax(logits, manifest.temperature)
    energies = energy(logits)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    top = np.take_along_axis(probabilities, order, axis=1)
    margins = top[:, 0] - top[:, 1]
    # Similarity to a digit: 0.5 at the energy threshold of "not a digit", near 1 for typical digits.
    likeness = 1 / (1 + np.exp(np.clip((energies - manifest.refuse_energy) / manifest.temperature, -50, 50)))
    doubts = np.clip(1 - margins * likeness, 0, 1).tolist()
    refused = (energies > manifest.refuse_energy).tolist()
    sure = ((margins >= manifest.sure_margin) & (energies <= manifest.sure_energy)).tolist()
    blanks = [False] * n if blank is None else blank
    features: Sequence[Features] = [{}] * n if ink is None else ink
    rows = zip(probabilities.tolist(), order.tolist(), energies.tolist(), strict=True)
    answers = []
    for i, (row, (digit, runner_up), value) in enumerate(rows):
        verdict = Verdict.SURE if sure[i] and not features[i].get("doubtful") else Verdict.UNSURE
        doubt = doubts[i]
        if blanks[i]:
            verdict, doubt = Verdict.BLANK, 1.0
        elif features[i].get("several"):
            verdict, doubt = Verdict.SEVERAL, 1.0
        elif refused[i] or features[i].get("dot"):
            verdict = Verdict.NOT_A_DIGIT
        answers.append(Answer(tuple(row), digit, row[digit], runner_up, value, doubt, verdict))
    return answers


def _find_blank(pixels: np.ndarray) -> npt.NDArray[np.bool_]:
    """Return for each of the (N, 28, 28) images whether it has no ink."""
    return np.logical_not(pixels.any(axis=(1, 2)))


class _BatchedClassifier(ABC):
    """Base class of both runtimes: input validation, batching and decisions."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.ndim != 3 or pixels.shape[1:] != (28, 28) or pixels.dtype != np.uint8:
            raise ValueError(f"Pixels must be (N, 28, 28) uint8, not {pixels.shape} {pixels.dtype}.")
        batches = [self._run(to_input(pixels[i : i + MAX_BATCH_SIZE])) for i in range(0, len(pixels), MAX_BATCH_SIZE)]
        return np.concatenate(batches) if batches else np.zeros((0, 10), np.float32)

    def answer(self, pixels: np.ndarray, ink: Sequence[Features] | None = None) -> list[Answer]:
        logits = self.logits(pixels)
        return decide(logits, self.manifest, ink, blank=_find_blank(pixels))

    def answer_readings(self, images: Sequence[Sequence[Reading]]) -> list[Answer]:
        if not images:
            return []
        handicaps = self.manifest.readings or {}
        # The indices of the readings of each image that this model may choose.
        eligible = [
            [index for index, reading in enumerate(readings) if index == 0 or reading.kind in handicaps]
            for readings in images
        ]
        flat = [readings[index] for readings, indices in zip(images, eligible, strict=True) for index in indices]
        answers = iter(self.answer(np.stack([item.pixels for item in flat]), [item.ink for item in flat]))
        return [
            choose_answer(readings, [replace(next(answers), reading=index) for index in indices], self.manifest)
            if len(indices) > 1
            else next(answers)
            for readings, indices in zip(images, eligible, strict=True)
        ]

    @abstractmethod
    def _run(self, inputs: np.ndarray) -> np.ndarray:
        """Compute (N, 10) logits of one batch, (N, SIDE, SIDE, 1) float32, of at most MAX_BATCH_SIZE images."""


class _LiteRTClassifier(_BatchedClassifier):
    def __init__(self, model: bytes, manifest: Manifest) -> None:
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(manifest)
        try:
            self._interpreter = Interpreter(model_content=model, num_threads=1)
            self._input = self._interpreter.get_input_details()[0]["index"]
            self._output = self._interpreter.get_output_details()[0]["index"]
            self._batch = 0
            shape = self._run(np.zeros((1, SIDE, SIDE, 1), np.float32)).shape
        except (ValueError, RuntimeError, IndexError) as error:
            raise BundleError(f"The serving bundle's model cannot be run ({error}).") from error
        if shape != (1, 10):
            raise BundleError(f"The serving bundle's model returns {shape[1:]} numbers for an image, not ten.")

    def _run(self, inputs: np.ndarray) -> np.ndarray:
        if len(inputs) != self._batch:
            self._interpreter.resize_tensor_input(self._input, inputs.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(inputs)
        self._interpreter.set_tensor(self._input, inputs)
        self._interpreter.invoke()
        # A copy: a view would prevent the interpreter from reallocating its memory.
        logits: np.ndarray = self._interpreter.get_tensor(self._output)
        return logits


class _KerasClassifier(_BatchedClassifier):
    def __init__(self, keras_file: bytes, sha256: str | None, manifest: Manifest) -> None:
        import tensorflow as tf

        from ml.serving.export import build_logits_model, load_keras, weights_sha256

        super().__init__(manifest)
        model = load_keras(keras_file, sha256=sha256)
        if weights_sha256(model) != manifest.weights_sha256:
            raise BundleError("The Keras model does not match the serving bundle: their weights differ.")
        logits_model = build_logits_model(model)
        signature = [tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32)]
        self._function = tf.function(lambda x: logits_model(x, training=False), input_signature=signature)
        self._run(np.zeros((1, SIDE, SIDE, 1), np.float32))  # trace now, not during the first request

    def _run(self, inputs: np.ndarray) -> np.ndarray:
        logits: np.ndarray = self._function(inputs).numpy()
        return logits
