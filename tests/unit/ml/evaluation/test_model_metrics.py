"""The metrics document: every stored form can be read, and the current one is written."""

import json

import pytest

from ml.evaluation.model_metrics import SCHEMA, GateMetrics, add_gate, read_metrics
from ml.serving.bundle import BASE_FOLDER

VALIDATION = {"accuracy": 0.99, "ece": 0.01, "shares": {"sure": 0.9, "not_a_digit": 0.02}}
NON_DIGITS = {"shares": {"sure": 0.1, "not_a_digit": 0.8}}
# As stored before documents had a schema.
VERSION_1 = {
    "test_accuracy": 0.995,
    "sets": {
        "test": {"accuracy": 0.995},
        "validation": VALIDATION,
        "distorted": {"accuracy": 0.97},
        "non_digits": NON_DIGITS,
    },
}
FIRST_GATE = {"frozen": "ab12", "sets": {"validation": {"accuracy": 0.991}, "distorted": {"accuracy": 0.96}}}


def test_version_1_without_a_gate_is_read():
    metrics = read_metrics(VERSION_1)
    assert metrics.gate == GateMetrics()
    assert metrics.sets["validation"]["accuracy"] == 0.99
    assert metrics.sets["non_digits"]["refused"] == 0.8
    # The gate measures other distorted digits, so these are not compared.
    assert set(metrics.compared) == {"test", "validation", "non_digits"}


def test_version_1_with_the_first_form_of_the_gate_is_read():
    metrics = read_metrics(VERSION_1 | {"gate": FIRST_GATE})
    assert (metrics.gate.frozen, metrics.gate.champion, metrics.gate.summary) == ("ab12", {}, ())
    assert metrics.compared["validation"] == {"refused": 0.02, **VALIDATION, "accuracy": 0.991}
    assert metrics.compared["distorted"] == {"accuracy": 0.96}


@pytest.mark.parametrize("stored", [{}, {"sets": {}}, {"gate": {}}])
def test_a_version_without_metrics_is_read(stored):
    assert read_metrics(stored).compared == {}


def test_the_shipped_document_is_read():
    metrics = read_metrics(json.loads((BASE_FOLDER / "metrics.json").read_text()))
    assert metrics.compared["test"]["accuracy"] > 0.99
    assert metrics.compared["non_digits"]["refused"] > 0.5


def test_the_document_that_is_written_has_the_schema_and_is_read_unchanged():
    gate = GateMetrics(
        "ab12", FIRST_GATE["sets"], {"validation": {"accuracy": 0.9}}, {"n": 3, "correct": 2}, ["Better."]
    )
    stored = json.loads(json.dumps(add_gate(VERSION_1, gate)))
    assert stored["schema"] == SCHEMA
    assert stored["test_accuracy"] == 0.995
    assert stored["gate"]["said"] == ["Better."]
    assert stored["sets"]["non_digits"] == {"refused": 0.8, **NON_DIGITS}
    assert read_metrics(stored).gate == gate
