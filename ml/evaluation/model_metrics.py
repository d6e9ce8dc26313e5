"""Metrics document of a model: `metrics.json` of a training, and `ModelVersion.metrics` of a site.

`read_metrics` accepts every form that was ever stored, and `add_gate` writes the current one. Without NumPy, so that
pages and models do not load it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# 1: no key "schema"; the share of rejected non-digits is in `shares` only; the gate may have no champion and no
#    sentences. 2: every set has `refused`.
SCHEMA = 2


class ReliabilityBin(TypedDict):
    """A row of the reliability table: mean certainty and accuracy of `n` predictions, certain from `low` to `high`."""

    low: float
    high: float
    n: int
    certainty: float
    accuracy: float


class SetMetrics(TypedDict, total=False):
    """Metrics of one evaluation set. The gate and the report of an export each measure a part of them.

    `interval` is the Wilson interval of the accuracy (95 %), `nll` the negative log-likelihood, `ece` the expected
    calibration error, `brier` the Brier score. `per_digit` is the recall of 0..9, None for a digit without images.
    `shares` are the shares of the verdicts, `refused` and `sure` two of them.
    """

    n: int
    correct: int
    accuracy: float
    interval: tuple[float, float]
    nll: float
    ece: float
    brier: float
    per_digit: list[float | None]
    worst_digit: float
    confusion: list[list[int]]
    reliability: list[ReliabilityBin]
    shares: dict[str, float]
    refused: float
    sure: float
    sure_accuracy: float | None


@dataclass(frozen=True)
class GateMetrics:
    """Metrics that the gate measured.

    Attributes:
        frozen: fingerprint of the frozen sets; metrics of two versions are comparable if theirs are equal.
        sets: metrics of the model by evaluation set.
        champion: those of the version that was live.
        holdout: number, correct predictions and interval of the site's holdout, if it has digits.
        summary: sentences about gains and losses.
    """

    frozen: str = ""
    sets: Mapping[str, SetMetrics] = field(default_factory=dict)
    champion: Mapping[str, SetMetrics] = field(default_factory=dict)
    holdout: SetMetrics | None = None
    summary: Sequence[str] = ()


@dataclass(frozen=True)
class ModelMetrics:
    """Metrics of a model.

    Attributes:
        sets: metrics by evaluation set, measured after the export.
        gate: metrics that the gate measured.
    """

    sets: Mapping[str, SetMetrics]
    gate: GateMetrics

    @property
    def compared(self) -> dict[str, SetMetrics]:
        """Metrics by set in which models are compared: the gate's, completed by those of the same images.

        The gate's distorted digits are other ones than those of an export.
        """
        same = {name: row for name, row in self.sets.items() if name != "distorted"}
        return {name: same.get(name, {}) | self.gate.sets.get(name, {}) for name in {**same, **self.gate.sets}}


def read_metrics(stored: Mapping[str, Any]) -> ModelMetrics:
    """Read a metrics document in any of its stored forms; what was not measured is missing."""
    gate = stored.get("gate", {})
    return ModelMetrics(
        {name: _with_refused(row) for name, row in stored.get("sets", {}).items()},
        GateMetrics(
            gate.get("frozen", ""),
            gate.get("sets", {}),
            gate.get("champion", {}),
            gate.get("holdout"),
            gate.get("said", ()),
        ),
    )


def _with_refused(row: SetMetrics) -> SetMetrics:
    return {"refused": row["shares"]["not_a_digit"], **row} if "shares" in row else row


def add_gate(stored: Mapping[str, Any], gate: GateMetrics) -> dict[str, Any]:
    """Return a metrics document in its current form, with the metrics of the gate."""
    return {
        **stored,
        "schema": SCHEMA,
        "sets": read_metrics(stored).sets,
        "gate": {
            "frozen": gate.frozen,
            "sets": gate.sets,
            "champion": gate.champion,
            "holdout": gate.holdout,
            "said": gate.summary,
        },
    }
