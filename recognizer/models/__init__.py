"""Rows and their constraints. What may happen to them is decided in recognizer/services."""

from .labels import Label, Lease, Skip
from .registry import Deployment, ModelFiles, ModelVersion, TrainingRun
from .submissions import Prediction, Submission
from .values import (
    Digit,
    Fold,
    GateVerdict,
    LabelKind,
    LabelReason,
    Origin,
    RunState,
    Source,
    SubmissionState,
    TruthState,
    TruthValue,
    Verdict,
)

__all__ = [
    "Deployment",
    "Digit",
    "Fold",
    "GateVerdict",
    "Label",
    "LabelKind",
    "LabelReason",
    "Lease",
    "ModelFiles",
    "ModelVersion",
    "Origin",
    "Prediction",
    "RunState",
    "Skip",
    "Source",
    "Submission",
    "SubmissionState",
    "TrainingRun",
    "TruthState",
    "TruthValue",
    "Verdict",
]
