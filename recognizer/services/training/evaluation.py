"""Evaluation of a candidate against the champion, on the frozen evaluation sets and the site's holdout set.

`ml.evaluation.gate` provides the statistics. This module selects the sets and the best earlier versions, and prepares
what is stored with a version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from ml.data.disk_cache import cached
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
from ml.training.eval_sets import fingerprint
from ml.training.export_pipeline import MAX_DIFFERENCE
from recognizer.models import ModelFiles, ModelVersion
from recognizer.services.registry import versions as model_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ml.evaluation.datasets import EvalDataset
    from ml.serving.classifier import Classifier


@dataclass(frozen=True)
class GateDecision:
    """Decision of the gate in the form that is stored.

    Attributes:
        result: checks and reasons.
        metrics: stored under "gate" in the metrics of the version.
    """

    result: GateResult
    metrics: dict[str, Any]

    @property
    def summary(self) -> list[str]:
        """Sentences about gains and losses."""
        return summarize(self.result.checks)

    @property
    def checks(self) -> list[dict[str, object]]:
        """The stored form of every check."""
        return [check.to_json() for check in self.result.checks]


def compare(
    candidate: Classifier,
    champion: Classifier,
    frozen: Sequence[EvalDataset],
    holdout: Sequence[EvalDataset],
    *,
    max_difference: float | None = None,
    labels: Sequence[GateCheck] = (),
) -> GateDecision:
    """Run the gate for a candidate.

    Args:
        candidate: classifier of the new version.
        champion: classifier of the live version.
        frozen: the sets of `ml.training.eval_sets.gate_datasets`.
        holdout: the sets of `dataset.holdout_datasets`.
        max_difference: largest difference between the probabilities of the candidate's bundle and Keras model, if it
            was measured. It is only recorded: the export fails if it is too large.
        labels: checks of the training labels.
    """
    dataset_hash = fingerprint(frozen)
    before = _evaluate_frozen(champion, frozen, dataset_hash) | evaluate_classifier(champion, holdout)
    after = _evaluate_frozen(candidate, frozen, dataset_hash) | evaluate_classifier(candidate, holdout)
    result = run_gate([*frozen, *holdout], before, after, best=_best_accuracies(dataset_hash, before), labels=labels)
    if max_difference is not None:
        title = "Served model and Keras model, largest difference on 1,000 pictures"
        check = GateCheck("agreement", title, "agreement", candidate=max_difference, champion=MAX_DIFFERENCE)
        result.checks.append(check)
    metrics: dict[str, Any] = {
        "frozen": dataset_hash,
        "sets": {name: after[name].metrics | {"n": len(after[name].correct)} for name in after},
        "champion": _metrics(before),
        "holdout": _with_interval(after, HOLDOUT),
    }
    decision = GateDecision(result, metrics)
    metrics["said"] = decision.summary
    return decision


def _metrics(results: dict[str, EvalResult]) -> dict[str, dict[str, float]]:
    return {name: result.metrics for name, result in results.items()}


def _evaluate_frozen(classifier: Classifier, frozen: Sequence[EvalDataset], dataset_hash: str) -> dict[str, EvalResult]:
    """Evaluate a model on the frozen sets. Its logits are cached: a candidate may be the champion of later runs."""
    model = classifier.manifest.model_sha256, settings.INFERENCE_RUNTIME

    def compute() -> dict[str, np.ndarray]:
        return {dataset.name: classifier.logits(dataset.images) for dataset in frozen}

    logits = cached("logits", compute, dataset_hash, *model)
    return {dataset.name: evaluate_dataset(dataset, logits[dataset.name], classifier.manifest) for dataset in frozen}


def _with_interval(results: dict[str, EvalResult], name: str) -> dict[str, object] | None:
    if name not in results:
        return None
    n, correct = len(results[name].correct), int(results[name].correct.sum())
    return {"n": n, "correct": correct, "interval": wilson(correct, n)}


def _best_accuracies(dataset_hash: str, champion: dict[str, EvalResult]) -> dict[str, tuple[float, str]]:
    """Return for each set the highest accuracy of any version that was live, on the same images, and its name."""
    best = {name: (champion[name].metrics["accuracy"], "the live version") for name in BEST_EVER_TOLERANCE}
    deployed = ModelVersion.objects.filter(deployments__isnull=False).distinct()
    for number, metrics in deployed.values_list("number", "metrics").iterator():
        gate = metrics.get("gate", {})
        if gate.get("frozen") != dataset_hash:
            continue
        for name in BEST_EVER_TOLERANCE:
            accuracy = gate["sets"][name]["accuracy"]
            if accuracy > best[name][0]:
                best[name] = accuracy, f"version {number}"
    return best


def evaluate_older_versions(frozen: Sequence[EvalDataset]) -> None:
    """Evaluate versions that were live but not measured on these frozen sets, if their files still exist.

    These are the shipped base model, and all versions after an upgrade that changes the sets.
    """
    dataset_hash = fingerprint(frozen)
    for version in _deployed_without_metrics(dataset_hash):
        if not ModelFiles.objects.filter(version=version).exists():
            continue
        classifier = model_versions.classifier_of(version)
        results = _evaluate_frozen(classifier, frozen, dataset_hash)
        version.metrics["gate"] = {"frozen": dataset_hash, "sets": _metrics(results)}
        version.save(update_fields=["metrics"])


def _deployed_without_metrics(dataset_hash: str) -> list[ModelVersion]:
    deployed = ModelVersion.objects.filter(deployments__isnull=False).distinct()
    return [version for version in deployed if version.metrics.get("gate", {}).get("frozen") != dataset_hash]
