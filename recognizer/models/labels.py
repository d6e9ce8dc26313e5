"""Label, and the Lease and Skip rows of the review queue."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from .choices import LabelKind, LabelReason, TruthValue
from .submissions import Submission


class AppendOnlyError(RuntimeError):
    """Somebody tried to change a row that is a record of what was said."""


class Label(models.Model):
    """One word of one person about one submission: a value, or the retraction of an earlier word.

    Append-only: labels are added and never changed, but for `stands`, which follows from the retractions; they go only
    when their submission is deleted.
    """

    # Submission and user are the first columns of indexes below.
    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="labels", db_index=False)
    kind = models.CharField(max_length=10, choices=LabelKind)
    value = models.CharField(max_length=12, choices=TruthValue, blank=True, help_text="Empty for a retraction.")
    retracts = models.OneToOneField("self", null=True, blank=True, on_delete=models.CASCADE, related_name="retraction")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="labels",
        db_index=False,
    )
    visitor = models.CharField(max_length=32, blank=True)
    reason = models.CharField(max_length=16, choices=LabelReason)
    created = models.DateTimeField(auto_now_add=True)
    stands = models.BooleanField(
        default=True, db_default=True, help_text="Neither a retraction nor retracted: derived, for indexes."
    )

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["kind", "reason", "-id"], name="label_kind_reason"),
            models.Index(fields=["submission", "-id"], name="label_of_submission"),
            # The last word about a submission: of one person, and of anyone.
            models.Index(
                fields=["submission", "kind", "user", "-id"], condition=Q(stands=True), name="label_stands_by_user"
            ),
            models.Index(fields=["submission", "kind", "-id"], condition=Q(stands=True), name="label_stands"),
            # What one person said lately.
            models.Index(fields=["user", "kind", "-created"], name="label_lately"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=(Q(retracts__isnull=True, value__in=TruthValue.values) | Q(retracts__isnull=False, value="")),
                name="label_says_or_retracts",
            ),
            models.CheckConstraint(condition=Q(kind__in=LabelKind.values), name="label_kind_known"),
            models.CheckConstraint(condition=Q(reason__in=LabelReason.values), name="label_reason_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.value or 'retracted'}"

    def save(self, *args, **kwargs) -> None:
        if not self._state.adding:
            raise AppendOnlyError("A label is never changed; add a retraction and a new label.")
        super().save(*args, **kwargs)


class Vote(models.Model):
    """The review of one person that counts for a picture: their last one that stands, of all submissions of one digest.

    Derived from the labels, so that another label costs the same however many there are. Without constraints to other
    tables, so that a release that does not know this one can delete what it names; a vote whose label is gone is
    counted again from the labels when it is next needed.
    """

    digest = models.CharField(max_length=64)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="+",
        help_text="Null: the account was deleted.",
    )
    label = models.ForeignKey(Label, null=True, on_delete=models.SET_NULL, db_constraint=False, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["digest", "user"], name="vote_once_per_picture")]

    def __str__(self) -> str:
        return f"{self.user_id} on {self.digest[:8]}"


class Lease(models.Model):
    """A submission that is in front of one reviewer until `expires`: nobody else is shown it meanwhile."""

    submission = models.OneToOneField(Submission, on_delete=models.CASCADE, related_name="lease")
    digest = models.CharField(max_length=64, unique=True, help_text="The submission's: a copy is not leased beside it.")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="leases")
    reason = models.CharField(max_length=16, choices=LabelReason)
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["reviewer", "expires"], name="lease_reviewer")]

    def __str__(self) -> str:
        return f"{self.submission_id} leased to {self.reviewer_id}"


class Skip(models.Model):
    """A reviewer passed over a submission: it comes back to others first."""

    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="skips")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="skips")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["submission", "reviewer"], name="skip_once_per_reviewer")]

    def __str__(self) -> str:
        return f"{self.submission_id} skipped by {self.reviewer_id}"
