"""View models for versions and training runs: metrics and their changes, gate checks, progress, the next run.

Read-only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings

from ml.data import mnist
from ml.evaluation import charts
from recognizer.models import ModelVersion, RunState, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES

from .scheduling import NO_TRAINER, labels_until_next, next_retry, next_scheduled

if TYPE_CHECKING:
    from datetime import datetime

# Metrics of a version: evaluation set, metric, title, whether a higher value is better.
METRICS: tuple[tuple[str, Literal["accuracy", "refused", "ece"], str, bool], ...] = (
    ("validation", "accuracy", "MNIST validation", True),
    ("distorted", "accuracy", "Distorted and drawn", True),
    ("non_digits", "refused", "Non-digits refused", True),
    ("holdout", "accuracy", "Site holdout", True),
    ("validation", "ece", "Calibration error", False),
    ("test", "accuracy", "MNIST test", True),
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
    own = version.model_metrics
    before = own.gate.champion or (version.parent.model_metrics.compared if version.parent else {})
    metrics = []
    for name, metric, title, higher_is_better in METRICS:
        value, old_value = own.compared.get(name, {}).get(metric), before.get(name, {}).get(metric)
        change = None if value is None or old_value is None else (value - old_value) * 100
        metrics.append(Metric(title, value, change, change is not None and (change >= 0) == higher_is_better))
    return metrics


def charts_of(version: ModelVersion) -> dict[str, str]:
    """Return the charts of a version as SVG, by name."""
    return charts.training_charts(version.history, version.model_metrics.sets)


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
