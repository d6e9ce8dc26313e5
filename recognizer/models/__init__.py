"""Django models with their constraints. Business logic is in recognizer.services."""

from .accounts import AccountName, AccountSession
from .attempts import Attempt
from .choices import (
    DIGITS,
    Digit,
    Fold,
    GateVerdict,
    LabelKind,
    LabelReason,
    Origin,
    RunState,
    Scope,
    Source,
    SubmissionState,
    TruthState,
    TruthValue,
    Verdict,
)
from .daily_usage import DailyUsage
from .idempotency import IdempotencyItem, IdempotencyKey
from .labels import Label, Lease, Skip, Vote
from .opt_outs import OptOut
from .registry import Deployment, ModelFiles, ModelVersion, TrainingRun
from .submissions import LARGE_COLUMNS, VERSION_COLUMNS, Prediction, Submission, SubmissionQuerySet, as_crop_text
from .tokens import Token

__all__ = [
    "DIGITS",
    "LARGE_COLUMNS",
    "VERSION_COLUMNS",
    "AccountName",
    "AccountSession",
    "Attempt",
    "DailyUsage",
    "Deployment",
    "Digit",
    "Fold",
    "GateVerdict",
    "IdempotencyItem",
    "IdempotencyKey",
    "Label",
    "LabelKind",
    "LabelReason",
    "Lease",
    "ModelFiles",
    "ModelVersion",
    "OptOut",
    "Origin",
    "Prediction",
    "RunState",
    "Scope",
    "Skip",
    "Source",
    "Submission",
    "SubmissionQuerySet",
    "SubmissionState",
    "Token",
    "TrainingRun",
    "TruthState",
    "TruthValue",
    "Verdict",
    "Vote",
    "as_crop_text",
]
