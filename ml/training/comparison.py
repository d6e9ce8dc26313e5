"""Comparison of a candidate with the champion by the promotion gate, and the smoke test of a candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.data.disk_cache import Arrays, cached
from ml.evaluation.gate import (
    BEST_EVER_TOLERANCE,
    HOLDOUT,
    EvalResult,
    GateResult,
    evaluate_classifier,
    evaluate_dataset,
    run_gate,
)
from ml.evaluation.gate_checks import GateCheck
from ml.evaluation.gate_summary import summarize
from ml.evaluation.metrics import wilson
from ml.evaluation.model_metrics import GateMetrics, add_gate, read_metrics
from ml.serving.classifier import load_classifier
from ml.training.export_pipeline import MAX_DIFFERENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.evaluation.datasets import EvalDataset
    from ml.evaluation.model_metrics import SetMetrics
    from ml.serving.classifier import Classifier, Runtime
    from ml.training.site_training import Candidate

# Number of images that a bundle must classify before it goes live, and the required accuracy.
SMOKE_TEST_SAMPLES, SMOKE_TEST_MIN_ACCURACY = 200, 0.9


class SmokeTestError(RuntimeError):
    """The candidate does not classify digits as a worker loads it."""


@dataclass(frozen=True)
class GateDecision:
    """Decision of the gate.

    Attributes:
        result: checks and reasons.
        metrics: metrics document of the candidate, with those of the gate.
        summary: sentences about gains and losses.
    """

    result: GateResult
    metrics: dict[str, Any]
    summary: Sequence[str]

    @property
    def checks(self) -> list[dict[str, object]]:
        """The stored form of every check."""
        return [check.to_json() for check in self.result.checks]


def measure(
    metrics: Mapping[str, Any], classifier: Classifier, candidate: Candidate, runtime: Runtime
) -> dict[str, Any]:
    """Return the metrics document of an earlier version with its metrics on the frozen sets of a candidate."""
    results = _evaluate_frozen(classifier, candidate, runtime)
    return add_gate(metrics, GateMetrics(candidate.frozen_id, _metrics(results)))


def compare(
    candidate: Candidate,
    champion: Classifier,
    holdout: Sequence[EvalDataset],
    *,
    earlier: Mapping[str, Mapping[str, Any]],
    suspicions: Sequence[GateCheck],
    runtime: Runtime,
) -> GateDecision:
    """Run the gate for a candidate.

    Args:
        candidate: the new model. Its largest difference between the probabilities of bundle and Keras model is only
            recorded: the export fails if it is too large.
        champion: classifier of the live version.
        holdout: the sets of the site's holdout fold.
        earlier: metrics documents of all versions that were live, by name.
        suspicions: failed checks of the training labels.
        runtime: runtime in which the site serves models.
    """
    exported = candidate.exported
    challenger = load_classifier(exported.bundle, runtime=runtime, keras_file=exported.keras_file)
    before, after = (
        _evaluate_frozen(classifier, candidate, runtime) | evaluate_classifier(classifier, holdout)
        for classifier in (champion, challenger)
    )
    best = {name: (before[name].metrics["accuracy"], "the live version") for name in BEST_EVER_TOLERANCE}
    for version, gate in ((version, read_metrics(document).gate) for version, document in earlier.items()):
        for name in BEST_EVER_TOLERANCE if gate.frozen == candidate.frozen_id else ():
            best[name] = max(best[name], (gate.sets[name]["accuracy"], version), key=lambda measured: measured[0])
    result = run_gate([*candidate.frozen, *holdout], before, after, best=best, labels=suspicions)
    if exported.max_difference is not None:
        title = "Served model and Keras model, largest difference on 1,000 pictures"
        result.checks.append(
            GateCheck("agreement", title, "agreement", candidate=exported.max_difference, champion=MAX_DIFFERENCE)
        )
    summary = summarize(result.checks)
    metrics = GateMetrics(
        candidate.frozen_id,
        {name: {**measured.metrics, "n": len(measured.correct)} for name, measured in after.items()},
        _metrics(before),
        _with_interval(after[HOLDOUT]) if HOLDOUT in after else None,
        summary,
    )
    return GateDecision(result, add_gate(candidate.metrics, metrics), summary)


def smoke_test(candidate: Candidate, runtime: Runtime) -> None:
    """Check that the candidate can be loaded like in a worker and classifies digits.

    Raises:
        SmokeTestError: the accuracy is too low.
    """
    exported, validation = candidate.exported, candidate.sets["validation"]
    classifier = load_classifier(exported.bundle, runtime=runtime, keras_file=exported.keras_file)
    images, labels = validation.images[:SMOKE_TEST_SAMPLES], validation.labels[:SMOKE_TEST_SAMPLES]
    accuracy = np.mean(np.array([answer.digit for answer in classifier.answer(images)]) == labels)
    if accuracy < SMOKE_TEST_MIN_ACCURACY:
        raise SmokeTestError(
            f"The stored model reads only {accuracy:.0%} of {len(labels)} digits as a worker loads it."
        )


def _evaluate_frozen(classifier: Classifier, candidate: Candidate, runtime: Runtime) -> dict[str, EvalResult]:
    """Evaluate a model on the frozen sets. Its logits are cached: a candidate may be the champion of later runs."""
    frozen, manifest = candidate.frozen, classifier.manifest

    def compute() -> Arrays:
        return {dataset.name: classifier.logits(dataset.images) for dataset in frozen}

    logits = cached("logits", compute, candidate.frozen_id, manifest.model_sha256, runtime)
    return {dataset.name: evaluate_dataset(dataset, logits[dataset.name], manifest) for dataset in frozen}


def _metrics(results: Mapping[str, EvalResult]) -> dict[str, SetMetrics]:
    return {name: result.metrics for name, result in results.items()}


def _with_interval(result: EvalResult) -> SetMetrics:
    n, correct = len(result.correct), int(result.correct.sum())
    return {"n": n, "correct": correct, "interval": wilson(correct, n)}
