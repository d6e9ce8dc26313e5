"""View models of versions and runs."""

import pytest

from recognizer.models import ModelVersion
from recognizer.services.training import presenters

TITLES = [
    "MNIST validation", "Distorted and drawn", "Non-digits refused", "Site holdout", "Calibration error", "MNIST test",
]  # fmt: skip


def make_version(gate: dict | None = None, *, parent: ModelVersion | None = None, **sets: dict) -> ModelVersion:
    return ModelVersion(number=2, parent=parent, metrics={"sets": sets} | ({"gate": gate} if gate else {}))


def test_metrics_are_compared_with_the_champion():
    gate = {
        "sets": {"validation": {"accuracy": 0.992, "ece": 0.004}, "non_digits": {"refused": 0.8}},
        "champion": {"validation": {"accuracy": 0.99, "ece": 0.005}, "non_digits": {"refused": 0.81}},
    }
    metrics = presenters.metrics_vs_parent(make_version(gate, test={"accuracy": 0.996}))
    assert [metric.title for metric in metrics] == TITLES
    assert [metric.value for metric in metrics] == [0.992, None, 0.8, None, 0.004, 0.996]
    assert [metric.change for metric in metrics] == pytest.approx([0.2, None, -1.0, None, -0.1, None])
    assert [metric.is_better for metric in metrics] == [True, False, False, False, True, False]


def test_without_a_champion_metrics_are_compared_with_the_parent():
    parent = make_version(validation={"accuracy": 0.98})
    (validation, *_) = presenters.metrics_vs_parent(make_version(parent=parent, validation={"accuracy": 0.99}))
    assert validation.change == pytest.approx(1.0)


def test_a_version_without_metrics_has_no_values():
    assert {metric.value for metric in presenters.metrics_vs_parent(make_version())} == {None}
