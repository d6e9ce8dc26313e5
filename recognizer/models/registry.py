"""Model versions with their files, training runs and deployments."""

import secrets

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Q, Value, When

from ml.evaluation.model_metrics import ModelMetrics, read_metrics

from .choices import ACTIVE_RUN_STATES, GateVerdict, Origin, RunState


class ModelVersion(models.Model):
    """A trained model: its origin, recipe and metrics. The files are in `ModelFiles`."""

    number = models.PositiveIntegerField(unique=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    created = models.DateTimeField(auto_now_add=True)
    origin = models.CharField(max_length=10, choices=Origin)
    keras_sha256 = models.CharField(max_length=64)
    bundle_sha256 = models.CharField(max_length=64)
    manifest = models.JSONField(help_text="Copy of the bundle's manifest: preprocessing version, thresholds, …")
    recipe = models.JSONField(default=dict)
    data_fingerprint = models.CharField(max_length=64, blank=True)
    counts = models.JSONField(default=dict, blank=True, help_text="Number of training examples by source.")
    history = models.JSONField(default=dict, blank=True, help_text="Accuracy and loss of every epoch.")
    metrics = models.JSONField(default=dict, blank=True)
    gate_verdict = models.CharField(max_length=8, choices=GateVerdict, default=GateVerdict.NOT_RUN)
    gate = models.JSONField(default=list, blank=True, help_text="Checks of the gate with their metrics.")

    class Meta:
        ordering = ["-number"]
        permissions = [("operate", "Can operate: retrains, promotes, rolls back, sees the status page")]
        constraints = [
            models.CheckConstraint(condition=Q(number__gte=1), name="version_number_from_1"),
            models.CheckConstraint(condition=Q(origin__in=Origin.values), name="version_origin_known"),
            models.CheckConstraint(condition=Q(gate_verdict__in=GateVerdict.values), name="version_gate_known"),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"

    @property
    def model_metrics(self) -> ModelMetrics:
        """The metrics, read from their stored form."""
        return read_metrics(self.metrics)


class ModelFiles(models.Model):
    """The files of a version. Pruning an old version deletes this row and keeps the metrics.

    See docs/adr/0009-model-files-in-the-database.md.
    """

    version = models.OneToOneField(ModelVersion, primary_key=True, on_delete=models.CASCADE, related_name="files")
    keras_file = models.BinaryField(help_text="my_model.keras, the authoritative file.")
    bundle = models.BinaryField(help_text="Bundle that the workers load.")

    class Meta:
        verbose_name_plural = "model files"

    def __str__(self) -> str:
        return f"files of {self.version}"


def new_run_token() -> str:
    """Return 128 random bits in hex."""
    return secrets.token_hex(16)


class TrainingRun(models.Model):
    """A training run. At most one is active at a time.

    A run may write and promote only while `token` has the value that the run was started with.
    """

    class Trigger(models.TextChoices):
        """Cause of the run."""

        SCHEDULE = "schedule", "Schedule"
        LABELS = "labels", "New labels"
        PERSON = "person", "A person"

    trigger = models.CharField(max_length=10, choices=Trigger)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="training_runs",
    )
    state = models.CharField(max_length=10, choices=RunState, default=RunState.QUEUED)
    token = models.CharField(max_length=32, unique=True, default=new_run_token, editable=False)
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True, blank=True)
    heartbeat = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.BooleanField(default=False)
    recipe = models.JSONField(default=dict, blank=True)
    data_fingerprint = models.CharField(max_length=64, blank=True)
    labels = models.PositiveIntegerField(default=0, help_text="Settled labels available for training at the start.")
    progress = models.JSONField(default=dict, blank=True, help_text="Step, epoch, batch, metrics so far.")
    log = models.JSONField(default=list, blank=True, help_text="[[time, line], …]")
    reasons = models.JSONField(default=list, blank=True, help_text="Reasons for a rejection, cancellation or failure.")
    version = models.OneToOneField(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="training_run"
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            # NULLs are distinct in a unique index, so only active runs conflict, in any combination of states.
            models.UniqueConstraint(
                Case(When(state__in=ACTIVE_RUN_STATES, then=Value(1)), output_field=models.IntegerField()),
                name="training_run_one_active",
            ),
            models.CheckConstraint(condition=Q(state__in=RunState.values), name="training_run_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=ACTIVE_RUN_STATES) | Q(finished__isnull=False),
                name="training_run_ended_has_time",
            ),
        ]

    def __str__(self) -> str:
        return f"training run {self.pk} ({self.state})"


class Deployment(models.Model):
    """A change of the live version. The newest row determines the live version.

    `sequence` is unique, and a new row takes the last value plus one. Of two concurrent promotions, one fails.
    """

    class Kind(models.TextChoices):
        """Kind of the change."""

        INSTALL = "install", "First installation"
        PROMOTE = "promote", "Promoted by the gate"
        FORCE = "force", "Forced by an operator"
        ROLLBACK = "rollback", "Rolled back"

    sequence = models.PositiveIntegerField(unique=True)
    kind = models.CharField(max_length=8, choices=Kind)
    from_version = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="replaced_by"
    )
    to_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="deployments")
    who = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    why = models.TextField()
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-sequence"]
        constraints = [
            models.CheckConstraint(condition=Q(sequence__gte=1), name="deployment_sequence_from_1"),
            models.CheckConstraint(
                condition=Q(from_version__isnull=True) | ~Q(from_version=F("to_version")),
                name="deployment_changes_something",
            ),
            models.CheckConstraint(condition=~Q(why=""), name="deployment_says_why"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence}: {self.kind} → {self.to_version_id}"
