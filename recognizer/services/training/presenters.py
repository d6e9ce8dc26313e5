"""View models for versions and training runs: metrics and their changes, gate checks, progress, the next run.

Read-only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from ml.data import mnist
from ml.evaluation import charts
from recognizer.models import ModelVersion, RunState, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES

from .scheduling import NO_TRAINER, labels_until_next, next_retry, next_scheduled

if TYPE_CHECKING:
    from datetime import datetime

# Metrics of a version: path in its metrics, alternative path for versions without a gate result, title, whether a
# higher value is better.
METRICS = (
    (("gate", "sets", "validation", "accuracy"), ("validation_accuracy",), "MNIST validation", True),
    (("gate", "sets", "distorted", "accuracy"), (), "Distorted and drawn", True),
    (("gate", "sets", "non_digits", "refused"), ("non_digits_refused",), "Non-digits refused", True),
    (("gate", "sets", "holdout", "accuracy"), (), "Site holdout", True),
    (("gate", "sets", "validation", "ece"), ("sets", "validation", "ece"), "Calibration error", False),
    (("test_accuracy",), (), "MNIST test", True),
)
STEP_NAMES = {
    "waiting": "Waiting for the trainer",
    "loading": "Loading",
    "training": "Training",
    "exporting": "Exporting",
    "evaluating": "Evaluating",
    "promoting": "Deciding",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of a version.

    Attributes:
        title: display name.
        value: the value; None if it was not measured.
        change: change against the parent in percentage points; None if there is nothing to compare.
        is_better: whether the change is an improvement.
    """

    title: str
    value: float | None
    change: float | None
    is_better: bool


@dataclass(frozen=True, slots=True)
class NextRun:
    """The next automatic training run.

    Attributes:
        labels: number of missing labels; None if labels do not start runs.
        after_labels: number of labels after which a run starts; 0 if labels do not start runs.
        when: time of the next retry or scheduled run.
        needs_mnist: whether MNIST is not available yet.
        cannot: why no run can be started, or "".
    """

    labels: int | None
    after_labels: int
    when: datetime | None
    needs_mnist: bool
    cannot: str


def metrics_vs_parent(version: ModelVersion) -> list[Metric]:
    """Return the metrics of a version and their changes against the champion that it was compared with."""
    champion = version.metrics.get("gate", {}).get("champion")
    parent = {"gate": {"sets": champion}} if champion else version.parent.metrics if version.parent else {}
    metrics = []
    for path, alternative, title, higher_is_better in METRICS:
        value = _lookup(version.metrics, path)
        value = _lookup(version.metrics, alternative) if value is None else value
        before = _lookup(parent, path)
        change = None if value is None or before is None else (value - before) * 100
        metrics.append(Metric(title, value, change, change is not None and (change >= 0) == higher_is_better))
    return metrics


def charts_of(version: ModelVersion) -> dict[str, str]:
    """Return the charts of a version as SVG, by name."""
    return charts.training_charts(version.history, version.metrics.get("sets", {}))


def checks_of(version: ModelVersion) -> list[dict[str, Any]]:
    """Return the stored gate checks, failed ones first."""
    return sorted(version.gate, key=lambda check: check["passed"])


def next_run() -> NextRun:
    """Return when the next automatic run starts, and what prevents it."""
    cannot = "" if settings.TRAINER else NO_TRAINER
    when = next_retry() or next_scheduled()
    return NextRun(labels_until_next(), settings.RETRAIN_AFTER_LABELS, when, not mnist.is_available(), cannot)


def state_of(run: TrainingRun) -> dict[str, object]:
    """Return the state of a run for the page and its script."""
    progress = run.progress
    return {
        "state": run.state,
        "ended": run.state not in ACTIVE_RUN_STATES,
        "title": run.get_state_display(),
        "share": 1.0
        if run.finished and run.state in (RunState.PROMOTED, RunState.REFUSED)
        else progress.get("share", 0.0),
        "line": _progress_line(run),
        "reasons": run.reasons,
    }


def learning_curves_of(run: TrainingRun) -> str:
    """Return the learning curves of a run so far as SVG."""
    history = (run.version.history if run.version else None) or run.progress.get("history", {})
    return "".join(charts.learning_curves(history).values())


def _progress_line(run: TrainingRun) -> str:
    if run.state not in ACTIVE_RUN_STATES:
        return ""
    if run.cancel_requested:
        return "Stopping, as asked."
    progress = run.progress
    step = STEP_NAMES.get(str(progress.get("step")), "")
    parts = [f"{step}: {progress['doing']}" if "doing" in progress else step]
    if "epoch" in progress:
        parts.append(
            f"epoch {progress['epoch']} of {progress['epochs']}, batch {progress['batch']} of {progress['batches']}"
        )
        parts.append(f"loss {progress['loss']:.3f}, accuracy {progress['accuracy'] * 100:.1f} %")
        parts.append(f"about {progress['seconds_left']} s of training left")
    return " · ".join(parts)


def _lookup(metrics: dict[str, Any], path: tuple[str, ...]) -> float | None:
    value: object = metrics
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, int | float) else None
