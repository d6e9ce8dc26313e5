"""Evaluation of a candidate against the champion, on the frozen evaluation sets and the site's holdout set.

`ml.evaluation.gate` provides the statistics. This module selects the sets and the best earlier versions, and prepares
what is stored with a version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from ml.evaluation.model_metrics import GateMetrics, add_gate
from ml.training.eval_sets import fingerprint
from ml.training.export_pipeline import MAX_DIFFERENCE
from recognizer.models import ModelVersion
from recognizer.services.registry import versions as model_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from django.db.models import QuerySet

    from ml.evaluation.datasets import EvalDataset
    from ml.evaluation.model_metrics import SetMetrics
    from ml.serving.classifier import Classifier


@dataclass(frozen=True)
class GateDecision:
    """Decision of the gate in the form that is stored.

    Attributes:
        result: checks and reasons.
        metrics: part of the metrics of the version.
    """

    result: GateResult
    metrics: GateMetrics

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
    metrics = GateMetrics(
        dataset_hash,
        {name: {**measured.metrics, "n": len(measured.correct)} for name, measured in after.items()},
        _metrics(before),
        _with_interval(after[HOLDOUT]) if HOLDOUT in after else None,
        summarize(result.checks),
    )
    return GateDecision(result, metrics)


def _metrics(results: dict[str, EvalResult]) -> dict[str, SetMetrics]:
    return {name: result.metrics for name, result in results.items()}


def _evaluate_frozen(classifier: Classifier, frozen: Sequence[EvalDataset], dataset_hash: str) -> dict[str, EvalResult]:
    """Evaluate a model on the frozen sets. Its logits are cached: a candidate may be the champion of later runs."""
    model = classifier.manifest.model_sha256, settings.INFERENCE_RUNTIME

    def compute() -> dict[str, np.ndarray]:
        return {dataset.name: classifier.logits(dataset.images) for dataset in frozen}

    logits = cached("logits", compute, dataset_hash, *model)
    return {dataset.name: evaluate_dataset(dataset, logits[dataset.name], classifier.manifest) for dataset in frozen}


def _with_interval(result: EvalResult) -> SetMetrics:
    n, correct = len(result.correct), int(result.correct.sum())
    return {"n": n, "correct": correct, "interval": wilson(correct, n)}


def _best_accuracies(dataset_hash: str, champion: dict[str, EvalResult]) -> dict[str, tuple[float, str]]:
    """Return for each set the highest accuracy of any version that was live, on the same images, and its name."""
    best = {name: (champion[name].metrics["accuracy"], "the live version") for name in BEST_EVER_TOLERANCE}
    for version in _deployed_versions():
        gate = version.model_metrics.gate
        for name in BEST_EVER_TOLERANCE if gate.frozen == dataset_hash else ():
            accuracy = gate.sets[name]["accuracy"]
            if accuracy > best[name][0]:
                best[name] = accuracy, f"version {version.number}"
    return best


def evaluate_older_versions(frozen: Sequence[EvalDataset]) -> None:
    """Evaluate versions that were live but not measured on these frozen sets, if their files still exist.

    These are the shipped base model, and all versions after an upgrade that changes the sets.
    """
    dataset_hash = fingerprint(frozen)
    for version in _deployed_versions().filter(files__isnull=False):
        if version.model_metrics.gate.frozen != dataset_hash:
            results = _evaluate_frozen(model_versions.classifier_of(version), frozen, dataset_hash)
            version.metrics = add_gate(version.metrics, GateMetrics(dataset_hash, _metrics(results)))
            version.save(update_fields=["metrics"])


def _deployed_versions() -> QuerySet[ModelVersion]:
    return ModelVersion.objects.filter(deployments__isnull=False).distinct()
