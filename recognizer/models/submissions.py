"""Submissions and their predictions."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models import F, OuterRef, Q, Value
from django.db.models.functions import Cast, Coalesce
from django.urls import reverse

from ml.readings import Reading, ReadingKind, decode_readings

from .choices import DIGITS, Digit, Fold, Source, SubmissionState, TruthState, TruthValue, Verdict
from .registry import ModelVersion

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Large columns, and the columns of a model version other than its number, which is all that lists show of it.
LARGE_COLUMNS = ("pixels", "strokes", "pen", "ink", "further_pixels")
VERSION_COLUMNS = [
    column.name
    for column in ModelVersion._meta.concrete_fields  # noqa: SLF001 - documented API
    if column.name not in ("id", "number")
]


def new_public_id() -> str:
    """Return 96 random bits as 16 URL-safe characters."""
    return secrets.token_urlsafe(12)


class SubmissionQuerySet(models.QuerySet["Submission"]):
    """Selections of submissions that several services use."""

    def settled(self) -> Self:
        """Return the submissions with a settled consensus."""
        return self.filter(truth_state=TruthState.SETTLED)

    def digits(self) -> Self:
        """Return the submissions whose consensus, settled or provisional, is a digit."""
        return self.filter(truth__in=DIGITS)

    def holdout(self) -> Self:
        """Return the submissions of the holdout fold."""
        return self.filter(fold=Fold.HOLDOUT)

    def trainable(self) -> Self:
        """Return the submissions for training: settled digits and non-digits of the train fold, with consent."""
        return self.settled().filter(fold=Fold.TRAIN, may_train=True, truth__in=[*DIGITS, TruthValue.NOT_A_DIGIT.value])

    def with_latest_prediction(self) -> Self:
        """Return the submissions joined with their latest predictions and the numbers of their model versions."""
        deferred = (f"latest_prediction__version__{name}" for name in VERSION_COLUMNS)
        return self.select_related("latest_prediction__version").defer(*deferred)

    def without_large_columns(self) -> Self:
        """Return the submissions without LARGE_COLUMNS, which are loaded on access."""
        return self.defer(*LARGE_COLUMNS)


class Submission(models.Model):
    """An image of a handwritten digit, sent for recognition.

    `digest` is the SHA-256 of the strokes (drawings) or of the stored image (all others). `fold` is derived from it and
    never changes, so that all copies of an image are in the same fold.
    """

    public_id = models.CharField(max_length=16, unique=True, default=new_public_id, editable=False)
    created = models.DateTimeField(auto_now_add=True)
    source = models.CharField(max_length=8, choices=Source)
    # A foreign key has no own index if an index below begins with it: each index slows every insert down.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="submissions",
        db_index=False,
    )
    visitor = models.CharField(max_length=32, blank=True, help_text="Random key in the visitor's signed cookie.")
    may_train = models.BooleanField(default=True, help_text="False after an opt-out from training.")

    picture = models.CharField(max_length=120, help_text="Name of the stored image in the media storage.")
    picture_type = models.CharField(max_length=20)
    picture_width = models.PositiveIntegerField()
    picture_height = models.PositiveIntegerField()
    strokes = models.JSONField(null=True, blank=True, help_text="[[x…], [y…], [t…]] for each stroke of a drawing.")
    pen = models.JSONField(
        null=True, blank=True, help_text="Pen width of each stroke, in units of the 280 x 280 canvas; null: 20."
    )
    crop = models.JSONField(
        null=True, blank=True, help_text="[left, top, right, bottom] in pixels of the stored image."
    )
    digest = models.CharField(max_length=64)
    fold = models.CharField(max_length=8, choices=Fold)

    pixels = models.BinaryField(help_text="Cached input of the model: 28 x 28 uint8, row by row.")
    ink = models.JSONField(default=dict, blank=True, help_text="Image features of the ink, measured by preprocessing.")
    # Empty in most rows. Lists load `further_ink`, because the kind of the reading that a prediction chose is there.
    further_pixels = models.BinaryField(
        default=b"", db_default=b"", help_text="Further readings of the image: 784 bytes each, in the form of `pixels`."
    )
    further_ink = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="Image features of each further reading, and its `kind`.",
    )
    preprocessing_version = models.PositiveSmallIntegerField()

    state = models.CharField(max_length=10, choices=SubmissionState, default=SubmissionState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    failure = models.TextField(blank=True)

    # Denormalized for lists: `inference.predict` copies the latest prediction, `review.consensus` the consensus.
    latest_prediction = models.ForeignKey(
        "Prediction", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    doubt = models.FloatField(null=True, blank=True)
    digit = models.PositiveSmallIntegerField(null=True, blank=True, choices=Digit)
    certainty = models.FloatField(null=True, blank=True)
    verdict = models.CharField(max_length=12, blank=True, choices=Verdict)
    answered_by = models.PositiveIntegerField(null=True, blank=True, help_text="Number of the model version.")
    models_disagree = models.BooleanField(default=False, help_text="Model versions predicted different digits.")
    truth = models.CharField(max_length=12, choices=TruthValue, blank=True)
    truth_state = models.CharField(max_length=12, choices=TruthState, default=TruthState.NONE)

    demo = models.BooleanField(default=False, help_text="Created by `manage.py demo`.")
    share_key = models.CharField(max_length=32, blank=True, help_text="Key of the share link; empty if not shared.")
    read_key_revocations = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Number of revocations of the read key; part of the signed data."
    )

    # Unused so far: for images of several digits, each of which becomes a submission.
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="parts", db_index=False
    )
    box = models.JSONField(null=True, blank=True)

    objects = SubmissionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        permissions = [("review", "Can review: sees every submission and is believed about it")]
        indexes = [
            # Partial indexes, for columns that are empty in most rows.
            models.Index(fields=["owner", "-id"], condition=Q(owner__isnull=False), name="submission_owner"),
            models.Index(fields=["visitor", "-id"], condition=~Q(visitor=""), name="submission_visitor"),
            models.Index(fields=["parent"], condition=Q(parent__isnull=False), name="submission_parent"),
            # Deleting a prediction, also by a cascade of the database, looks up the submission it is the latest of.
            models.Index(
                fields=["latest_prediction"], condition=Q(latest_prediction__isnull=False), name="submission_latest"
            ),
            models.Index(fields=["created"], condition=Q(state="pending"), name="submission_pending"),
            models.Index(fields=["picture"], name="submission_picture"),
            # Copies of an image, and random order of the queue: digests are uniformly distributed.
            models.Index(fields=["digest", "truth_state", "fold"], name="submission_digest"),
            # The review queue by doubt and the grid; the queue by disagreement.
            models.Index(fields=["truth_state", "-doubt", "-id", "digit", "verdict"], name="submission_doubt"),
            models.Index(
                fields=["-doubt", "-id", "truth_state"], condition=Q(models_disagree=True), name="submission_disagree"
            ),
            # Consensus and prediction together: suspects, the confusion matrix, training candidates, counts.
            models.Index(
                fields=[
                    *("truth_state", "truth", "digit", "verdict", "source", "state"),
                    *("answered_by", "preprocessing_version", "fold", "may_train"),
                ],
                name="submission_truth",
            ),
            # A covering index for all filters of History: only the rows of one page are read from the table.
            models.Index(
                fields=[
                    *("-id", "digit", "verdict", "certainty", "doubt", "answered_by", "source", "state"),
                    *("truth_state", "truth", "created", "owner", "visitor", "preprocessing_version", "crop"),
                ],
                name="submission_narrow",
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(source__in=Source.values), name="submission_source_known"),
            models.CheckConstraint(condition=Q(state__in=SubmissionState.values), name="submission_state_known"),
            models.CheckConstraint(condition=Q(fold__in=Fold.values), name="submission_fold_known"),
            models.CheckConstraint(condition=Q(truth_state__in=TruthState.values), name="submission_truth_state_known"),
            models.CheckConstraint(
                condition=(
                    Q(truth_state__in=[TruthState.NONE, TruthState.DISPUTED], truth="")
                    | Q(
                        truth_state__in=[TruthState.PROVISIONAL, TruthState.SETTLED],
                        truth__in=TruthValue.values,
                    )
                ),
                name="submission_truth_fits_its_state",
            ),
            models.CheckConstraint(
                condition=~Q(state=SubmissionState.FAILED) | ~Q(failure=""),
                name="submission_failure_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(doubt__isnull=True) | Q(doubt__range=(0, 1)), name="submission_doubt_in_0_1"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    def get_absolute_url(self) -> str:
        """Return the URL of the submission's page."""
        return reverse("submission", args=[self.public_id])

    @property
    def crop_text(self) -> str:
        """The crop in the form of `Prediction.crop`."""
        return json.dumps(self.crop) if self.crop else ""

    @property
    def readings(self) -> list[Reading]:
        """The readings of the image, of which a model version chooses one; the first is the plain one."""
        return decode_readings(bytes(self.pixels), self.ink, bytes(self.further_pixels), self.further_ink)

    @property
    def seen_pixels(self) -> npt.NDArray[np.uint8]:
        """The reading that the latest prediction chose, or the plain one: (28, 28) uint8."""
        latest = self.latest_prediction
        return self.readings[latest.reading if latest and self.reading_kind(latest) else 0].pixels

    def reading_kind(self, prediction: Prediction) -> ReadingKind | None:
        """Return the kind of the reading that a prediction for this submission chose.

        None if that is unknown, because the submission was cropped or preprocessed again since then.
        """
        if prediction.reading == 0:
            return ReadingKind.PLAIN
        is_current = (prediction.crop, prediction.preprocessing_version) == (self.crop_text, self.preprocessing_version)
        if not is_current or prediction.reading > len(self.further_ink):
            return None
        return ReadingKind(self.further_ink[prediction.reading - 1]["kind"])


def as_crop_text(crop: F | OuterRef) -> Coalesce:
    """Return the expression for a submission's crop in the form of `Prediction.crop`."""
    return Coalesce(Cast(crop, models.CharField()), Value(""))


class Prediction(models.Model):
    """The output of a model version for one crop of a submission, under one preprocessing version."""

    # No own index for submission and version: constraints and indexes below begin with them.
    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="predictions", db_index=False)
    version = models.ForeignKey("ModelVersion", on_delete=models.PROTECT, related_name="predictions", db_index=False)
    preprocessing_version = models.PositiveSmallIntegerField()
    crop = models.CharField(
        max_length=40, blank=True, default="", db_default="", help_text="JSON of the submission's crop; empty: none."
    )
    created = models.DateTimeField(auto_now_add=True)
    probabilities = models.JSONField(help_text="Ten calibrated probabilities, digit 0 first.")
    digit = models.PositiveSmallIntegerField(choices=Digit)
    certainty = models.FloatField(help_text="Probability of `digit`.")
    runner_up = models.PositiveSmallIntegerField(choices=Digit)
    energy = models.FloatField(help_text="-log sum exp of the logits; high for images that are not digits.")
    doubt = models.FloatField(help_text="0 (certain) to 1 (doubtful); orders the review queue.")
    verdict = models.CharField(max_length=12, choices=Verdict)
    milliseconds = models.FloatField(help_text="This image's share of the forward pass of its batch.")
    reading = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Index of the chosen reading of the submission; 0 is the plain one."
    )

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["version", "-id"], name="prediction_version"),
            models.Index(fields=["-doubt", "-id"], name="prediction_doubt"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["submission", "version", "preprocessing_version", "crop"], name="prediction_once_per_crop"
            ),
            models.CheckConstraint(condition=Q(digit__range=(0, 9)), name="prediction_digit_0_9"),
            models.CheckConstraint(
                condition=Q(runner_up__range=(0, 9)) & ~Q(runner_up=F("digit")),
                name="prediction_runner_up_differs",
            ),
            models.CheckConstraint(condition=Q(certainty__range=(0, 1)), name="prediction_certainty_0_1"),
            models.CheckConstraint(condition=Q(doubt__range=(0, 1)), name="prediction_doubt_0_1"),
            models.CheckConstraint(condition=Q(verdict__in=Verdict.values), name="prediction_verdict_known"),
        ]

    def __str__(self) -> str:
        return f"{self.digit} ({self.certainty:.1%}, {self.verdict})"

    @property
    def crop_box(self) -> list[int] | None:
        """The crop as [left, top, right, bottom]; None: the whole image."""
        box: list[int] | None = json.loads(self.crop) if self.crop else None
        return box
