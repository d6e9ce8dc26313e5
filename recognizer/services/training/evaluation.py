"""The candidate before the gate: it and the champion answer the frozen sets and the site's own holdout.

The statistics are `ml.evaluation.gate`'s; which sets there are, whose best figures count and what
is stored is said here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from django.conf import settings

from ml.data.disk_cache import cached
from ml.evaluation.gate import (
    BEST_EVER_TOLERANCE,
    HOLDOUT,
    HOLDOUT_TOLERANCE,
    EvalDataset,
    EvalResult,
    GateCheck,
    GateResult,
    evaluate_dataset,
    run_gate,
)
from ml.evaluation.gate_summary import summarize
from ml.evaluation.metrics import wilson
from ml.serving.classifier import Classifier
from ml.training.eval_sets import fingerprint
from ml.training.export_pipeline import AGREEMENT
from recognizer.models import ModelFiles, ModelVersion, Source
from recognizer.services.registry import versions as model_versions

from .dataset import Holdout


@dataclass(frozen=True)
class GateDecision:
    """What the gate says, ready to be stored: every check, the reasons, and the figures under "gate" of the metrics."""

    judgement: GateResult
    metrics: dict[str, object]

    @property
    def said(self) -> list[str]:
        """What was gained and lost, in sentences."""
        return summarize(self.judgement.checks)

    @property
    def checks(self) -> list[dict[str, object]]:
        return [asdict(check) for check in self.judgement.checks]


def compare(
    candidate: Classifier,
    champion: Classifier,
    frozen: Sequence[EvalDataset],
    site: Holdout,
    *,
    agreement: float | None = None,
    labels: Sequence[GateCheck] = (),
) -> GateDecision:
    """Put a candidate before the gate.

    Args:
        candidate, champion: as they will serve and as they serve.
        frozen: `ml.training.eval_sets.gate_datasets`.
        site: the holdout.
        agreement: how far the candidate's bundle and its Keras model lie apart, where that was measured now; too far
            apart, it would not have come here.
        labels: checks of the labels that it learned.
    """
    mark = fingerprint(list(frozen))
    held = _holdout_sets(site)
    sets = [*frozen, *held]
    theirs = _ask_frozen(champion, frozen, mark) | {one.name: _ask(champion, one) for one in held}
    ours = _ask_frozen(candidate, frozen, mark) | {one.name: _ask(candidate, one) for one in held}
    judgement = run_gate(sets, theirs, ours, best=_best(mark, theirs), labels=labels)
    if agreement is not None:
        title = "Served model and Keras model, largest difference on 1,000 pictures"
        judgement.checks.append(GateCheck("agreement", title, "agreement", candidate=agreement, champion=AGREEMENT))
    figures = {name: said.figures | {"n": len(said.right)} for name, said in ours.items()}
    metrics: dict[str, object] = {
        "frozen": mark,
        "sets": figures,
        "champion": _figures(theirs),
        "holdout": _with_interval(ours, HOLDOUT),
    }
    verdict = GateDecision(judgement, metrics)
    metrics["said"] = verdict.said
    return verdict


def _figures(said: dict[str, EvalResult]) -> dict[str, dict[str, float]]:
    return {name: one.figures for name, one in said.items()}


def _ask(classifier: Classifier, one: EvalDataset) -> EvalResult:
    return evaluate_dataset(classifier.logits(one.images), one.labels, classifier.manifest)


def _ask_frozen(classifier: Classifier, frozen: Sequence[EvalDataset], mark: str) -> dict[str, EvalResult]:
    """The model's logits are kept: today's candidate may be the champion of the next runs."""
    model = classifier.manifest.model_sha256, settings.INFERENCE_RUNTIME
    logits = cached("logits", lambda: {one.name: classifier.logits(one.images) for one in frozen}, mark, *model)
    return {one.name: evaluate_dataset(logits[one.name], one.labels, classifier.manifest) for one in frozen}


def _with_interval(said: dict[str, EvalResult], name: str) -> dict[str, object] | None:
    if name not in said:
        return None
    right = said[name].right
    return {"n": len(right), "correct": int(right.sum()), "interval": wilson(int(right.sum()), len(right))}


def _holdout_sets(site: Holdout) -> list[EvalDataset]:
    """All of it, each digit, and each source by itself."""
    if not len(site.labels):
        return []
    whole = EvalDataset(
        HOLDOUT, "Site holdout", site.images, site.labels,
        tolerance=HOLDOUT_TOLERANCE, digit_tolerance=HOLDOUT_TOLERANCE, calibration=False, frozen=False,
    )  # fmt: skip
    parts = []
    if len(np.unique(site.sources)) > 1:
        for source in sorted(set(site.sources.tolist())):
            rows = site.sources == source
            title = f"Site holdout, {Source(source).label.lower()}"
            parts.append(
                replace(
                    whole, name=f"{HOLDOUT}.{source}", title=title, images=site.images[rows], labels=site.labels[rows],
                    per_digit=False,
                )
            )  # fmt: skip
    return [whole, *parts]


def _best(mark: str, champion: dict[str, EvalResult]) -> dict[str, tuple[float, str]]:
    """For each set the highest accuracy of a version that was ever live, measured on the very same pictures."""
    found = {name: (champion[name].figures["accuracy"], "the live version") for name in BEST_EVER_TOLERANCE}
    were_live = ModelVersion.objects.filter(deployments__isnull=False).distinct()
    for number, metrics in were_live.values_list("number", "metrics").iterator():
        gate = metrics.get("gate", {})
        if gate.get("frozen") != mark:
            continue
        for name in BEST_EVER_TOLERANCE:
            accuracy = gate["sets"][name]["accuracy"]
            if accuracy > found[name][0]:
                found[name] = accuracy, f"version {number}"
    return found


def evaluate_older_versions(frozen: Sequence[EvalDataset]) -> None:
    """Versions that were live and were never measured on these frozen sets (the shipped base; everything after an
    upgrade that changed the sets) are measured now, as far as their files are there."""
    mark = fingerprint(list(frozen))
    for version in _were_live_unlike(mark):
        if not ModelFiles.objects.filter(version=version).exists():
            continue
        classifier = model_versions.classifier_of(version)
        said = _ask_frozen(classifier, frozen, mark)
        version.metrics["gate"] = {"frozen": mark, "sets": _figures(said)}
        version.save(update_fields=["metrics"])


def _were_live_unlike(mark: str) -> Iterable[ModelVersion]:
    versions = ModelVersion.objects.filter(deployments__isnull=False).distinct()
    return [version for version in versions if version.metrics.get("gate", {}).get("frozen") != mark]
