"""What people are told about versions and runs: figures beside the parent's, checks, progress, what comes next.

Reads only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from ml.data import mnist
from recognizer.models import ModelVersion, RunState, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES

from .scheduling import NO_TRAINER, labels_until_next, next_retry, next_scheduled

# Figures of a version: where in its metrics, where else if it never was before the gate, its name, whether more
# is better.
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
    """One figure of a version and its change against the parent's, in points; None where there is nothing to say."""

    title: str
    value: float | None
    change: float | None
    is_better: bool


@dataclass(frozen=True, slots=True)
class NextRun:
    """When the site trains by itself: after so many labels, at that time; and what would keep it from training.

    `cannot` is why no training can be begun at all, or "".
    """

    labels: int | None
    after_labels: int
    when: datetime | None
    needs_mnist: bool
    cannot: str


def metrics_vs_parent(version: ModelVersion) -> list[Metric]:
    """The champion's figures stored with a version are those of its day, on the same pictures."""
    champion = version.metrics.get("gate", {}).get("champion")
    parent = {"gate": {"sets": champion}} if champion else version.parent.metrics if version.parent else {}
    figures = []
    for path, otherwise, title, more_is_better in METRICS:
        value = _at(version.metrics, path)
        value = _at(version.metrics, otherwise) if value is None else value
        before = _at(parent, path)
        change = None if value is None or before is None else (value - before) * 100
        figures.append(Metric(title, value, change, change is not None and (change >= 0) == more_is_better))
    return figures


def checks_of(version: ModelVersion) -> list[dict]:
    """The gate's checks, those that failed first, then as they were made."""
    return sorted(version.gate, key=lambda check: check["passed"])


def next_run() -> NextRun:
    cannot = "" if settings.TRAINER else NO_TRAINER
    when = next_retry() or next_scheduled()
    return NextRun(labels_until_next(), settings.RETRAIN_AFTER_LABELS, when, not mnist.is_available(), cannot)


def state_of(run: TrainingRun) -> dict[str, object]:
    """Where a run is, for the page and its script."""
    now = run.progress
    return {
        "state": run.state,
        "ended": run.state not in ACTIVE_RUN_STATES,
        "title": run.get_state_display(),
        "share": 1.0 if run.finished and run.state in (RunState.PROMOTED, RunState.REFUSED) else now.get("share", 0.0),
        "line": _line(run),
        "reasons": run.reasons,
    }


def history_of(run: TrainingRun) -> dict[str, list[float]]:
    """What was measured after each epoch so far."""
    return (run.version.history if run.version else None) or run.progress.get("history", {})


def _line(run: TrainingRun) -> str:
    if run.state not in ACTIVE_RUN_STATES:
        return ""
    if run.cancel_requested:
        return "Stopping, as asked."
    now = run.progress
    step = STEP_NAMES.get(str(now.get("step")), "")
    words = [f"{step}: {now['doing']}" if "doing" in now else step]
    if "epoch" in now:
        words.append(f"epoch {now['epoch']} of {now['epochs']}, batch {now['batch']} of {now['batches']}")
        words.append(f"loss {now['loss']:.3f}, accuracy {now['accuracy'] * 100:.1f} %")
        words.append(f"about {now['seconds_left']} s of training left")
    return " · ".join(words)


def _at(metrics: dict, path: tuple[str, ...]) -> float | None:
    value: object = metrics
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, int | float) else None
