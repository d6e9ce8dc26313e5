"""28x28 pixels to answers: ten calibrated probabilities, an energy, a doubt and a verdict.

The prediction worker, `manage.py predict` and the evaluation use it. It serves the LiteRT model of a bundle
without importing TensorFlow; with runtime "keras" it serves the Keras file through one `tf.function` instead.

    python -c "
    import numpy as np; from ml.serving.bundle import BASE_FOLDER; from ml.serving.classifier import load_classifier
    classifier = load_classifier((BASE_FOLDER / 'model.bundle').read_bytes())
    print(classifier.answer(np.zeros((1, 28, 28), np.uint8)))"
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from ml.serving import bundle as bundles
from ml.serving.bundle import BundleError, Manifest
from ml.serving.verdicts import Verdict

Runtime = Literal["litert", "keras"]
# Longest batch given to the model at once: 256 pictures take about 10 ms and some 20 MB of scratch memory.
MAX_BATCH_SIZE = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says of one picture.

    Attributes:
        probabilities: of the digits 0..9, calibrated; they add up to 1.
        digit: the most probable digit, the best guess whatever the verdict.
        certainty: the probability of `digit`.
        runner_up: the second most probable digit.
        energy: high (up to -2.3) when the picture looks like no digit; see `energy`.
        doubt: 0..1, higher is more doubtful; orders the review queue.
        verdict: what the answer is worth.
    """

    probabilities: tuple[float, ...]
    digit: int
    certainty: float
    runner_up: int
    energy: float
    doubt: float
    verdict: Verdict


class Classifier(Protocol):
    """Anything that answers. Not thread-safe: load one for each thread."""

    @property
    def manifest(self) -> Manifest:
        """What the model's numbers mean."""

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 28, 28) uint8 to (N, 10) float32 logits."""

    def answer(self, pixels: np.ndarray, ink: Sequence[Mapping] | None = None) -> list[Answer]:
        """(N, 28, 28) uint8 and, for each, the preprocessing's evidence about the ink, to N answers."""


def load_classifier(
    bundle: bytes,
    *,
    sha256: str | None = None,
    runtime: Runtime = "litert",
    keras_file: bytes | None = None,
    keras_sha256: str | None = None,
) -> Classifier:
    """Check a bundle and make a classifier of it.

    Args:
        bundle: the serving bundle.
        sha256: the bundle's recorded sha256.
        runtime: "litert" serves the bundle's model; "keras" serves `keras_file` with the bundle's manifest.
        keras_file: the bytes of the .keras file; needed by the runtime "keras" only.
        keras_sha256: its recorded sha256.

    Raises:
        BundleError: one clear sentence on what is missing, damaged, swapped or unknown.
    """
    read = bundles.read(bundle, sha256=sha256)
    if runtime == "litert":
        return _LiteRTClassifier(read.model, read.manifest)
    if runtime == "keras":
        return _KerasClassifier(keras_file or b"", keras_sha256, read.manifest)
    raise BundleError(f"The inference runtime must be 'litert' or 'keras', not {runtime!r}.")


def to_input(pixels: np.ndarray) -> np.ndarray:
    """(N, 28, 28) uint8 to the model's input, (N, 28, 28, 1) float32 in 0..1."""
    return (pixels.astype(np.float32) / 255.0)[..., None]


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(N, 10) logits to (N, 10) float64 probabilities; a temperature below 1 makes them more certain."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def energy(logits: np.ndarray) -> np.ndarray:
    """(N, 10) logits to (N,) energies, -log sum exp (Liu et al., "Energy-based Out-of-distribution Detection").

    The logits are centred first. Cross-entropy leaves their mean to chance, and what chance did to it would drown
    the energy: uncentred, 16 % of non-digits lie above 98 % of the digits, centred 65 %. At -2.3 (minus log 10) all
    digits are equally likely.
    """
    centred = logits.astype(np.float64) - logits.mean(axis=1, keepdims=True)
    top = centred.max(axis=1)
    return -(top + np.log(np.exp(centred - top[:, None]).sum(axis=1)))


def decide(
    logits: np.ndarray,
    manifest: Manifest,
    ink: Sequence[Mapping] | None = None,
    blank: Sequence[bool] | np.ndarray | None = None,
) -> list[Answer]:
    """Turn logits into answers.

    Args:
        logits: (N, 10).
        manifest: temperature and thresholds.
        ink: for each picture the evidence of `ml.preprocessing`; of it "several" (several digits side by side) and
            "dot" (a lone dot) decide the verdict, and what is "doubtful" (noise, a pattern) is never sure.
        blank: for each picture, whether there was no ink at all.
    """
    n = len(logits)
    probabilities = softmax(logits, manifest.temperature)
    energies = energy(logits)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    top = np.take_along_axis(probabilities, order, axis=1)
    margins = top[:, 0] - top[:, 1]
    # How digit-like the picture is: one half at the energy where it is refused, one in the midst of the digits.
    likeness = 1 / (1 + np.exp(np.clip((energies - manifest.refuse_energy) / manifest.temperature, -50, 50)))
    doubts = np.clip(1 - margins * likeness, 0, 1).tolist()
    refused = (energies > manifest.refuse_energy).tolist()
    sure = ((margins >= manifest.sure_margin) & (energies <= manifest.sure_energy)).tolist()
    blanks = [False] * n if blank is None else blank
    evidence: Sequence[Mapping] = [{}] * n if ink is None else ink
    rows = zip(probabilities.tolist(), order.tolist(), energies.tolist(), strict=True)
    answers = []
    for i, (row, (digit, runner_up), value) in enumerate(rows):
        verdict = Verdict.SURE if sure[i] and not evidence[i].get("doubtful") else Verdict.UNSURE
        doubt = doubts[i]
        if blanks[i]:
            verdict, doubt = Verdict.BLANK, 1.0
        elif evidence[i].get("several"):
            verdict, doubt = Verdict.SEVERAL, 1.0
        elif refused[i] or evidence[i].get("dot"):
            verdict = Verdict.NOT_A_DIGIT
        answers.append(Answer(tuple(row), digit, row[digit], runner_up, value, doubt, verdict))
    return answers


class _BatchedClassifier(ABC):
    """What both runtimes share: batches in, answers out."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.ndim != 3 or pixels.shape[1:] != (28, 28) or pixels.dtype != np.uint8:
            raise ValueError(f"Pixels must be (N, 28, 28) uint8, not {pixels.shape} {pixels.dtype}.")
        parts = [self._run(to_input(pixels[i : i + MAX_BATCH_SIZE])) for i in range(0, len(pixels), MAX_BATCH_SIZE)]
        return np.concatenate(parts) if parts else np.zeros((0, 10), np.float32)

    def answer(self, pixels: np.ndarray, ink: Sequence[Mapping] | None = None) -> list[Answer]:
        logits = self.logits(pixels)
        return decide(logits, self.manifest, ink, blank=~pixels.any(axis=(1, 2)))

    @abstractmethod
    def _run(self, inputs: np.ndarray) -> np.ndarray:
        """(N, 28, 28, 1) float32 to (N, 10) logits, for a batch that is not too large."""


class _LiteRTClassifier(_BatchedClassifier):
    def __init__(self, model: bytes, manifest: Manifest) -> None:
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(manifest)
        try:
            self._interpreter = Interpreter(model_content=model, num_threads=1)
            self._input = self._interpreter.get_input_details()[0]["index"]
            self._output = self._interpreter.get_output_details()[0]["index"]
            self._batch = 0
            shape = self._run(np.zeros((1, 28, 28, 1), np.float32)).shape
        except (ValueError, RuntimeError, IndexError) as error:
            raise BundleError(f"The serving bundle's model cannot be run ({error}).") from error
        if shape != (1, 10):
            raise BundleError(f"The serving bundle's model gives {shape[1:]} numbers for a picture, not ten.")

    def _run(self, inputs: np.ndarray) -> np.ndarray:
        if len(inputs) != self._batch:
            self._interpreter.resize_tensor_input(self._input, inputs.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(inputs)
        self._interpreter.set_tensor(self._input, inputs)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)  # a copy: a view would pin the interpreter's memory


class _KerasClassifier(_BatchedClassifier):
    def __init__(self, keras_file: bytes, sha256: str | None, manifest: Manifest) -> None:
        import tensorflow as tf

        from ml.serving.export import build_logits_model, load_keras, weights_sha256

        super().__init__(manifest)
        model = load_keras(keras_file, sha256=sha256)
        if weights_sha256(model) != manifest.weights_sha256:
            raise BundleError("The Keras model and the serving bundle do not belong together: weights differ.")
        twin = build_logits_model(model)
        signature = [tf.TensorSpec((None, 28, 28, 1), tf.float32)]
        self._function = tf.function(lambda x: twin(x, training=False), input_signature=signature)
        self._run(np.zeros((1, 28, 28, 1), np.float32))  # traced once, here, and not by the first visitor

    def _run(self, inputs: np.ndarray) -> np.ndarray:
        return self._function(inputs).numpy()
