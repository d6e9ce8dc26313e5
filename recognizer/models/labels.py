"""Labels, votes, and the leases and skips of the review queue."""

from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from .choices import LabelKind, LabelReason, TruthValue
from .submissions import Submission


class AppendOnlyError(RuntimeError):
    """A label was about to be changed."""


class LabelQuerySet(models.QuerySet["Label"]):
    """Selections of labels that several services use."""

    def active(self) -> Self:
        """Return the labels that are neither a retraction, which has no value, nor retracted."""
        # With `retracts IS NULL`, SQLite would use the unique index of that column, where nearly every row is null.
        return self.filter(stands=True, value__gt="", retraction__isnull=True)

    def reviews(self) -> Self:
        """Return the labels of reviewers."""
        return self.filter(kind=LabelKind.REVIEW)


class Label(models.Model):
    """A label that a person gave a submission, or the retraction of an earlier label.

    Append-only: rows are never changed, except for `stands`, which follows from the retractions. They are deleted only
    with their submission.
    """

    # No own index for submission and user: they are the first columns of indexes below.
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
        default=True, db_default=True, help_text="Neither a retraction nor retracted. Derived, for indexes."
    )

    objects = LabelQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["kind", "reason", "-id"], name="label_kind_reason"),
            models.Index(fields=["submission", "-id"], name="label_of_submission"),
            # The newest active label of a submission: by one person, and by anyone.
            models.Index(
                fields=["submission", "kind", "user", "-id"], condition=Q(stands=True), name="label_stands_by_user"
            ),
            models.Index(fields=["submission", "kind", "-id"], condition=Q(stands=True), name="label_stands"),
            # Recent labels of one person.
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

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the label.

        Raises:
            AppendOnlyError: The label is stored already.
        """
        if not self._state.adding:
            raise AppendOnlyError("Labels cannot be changed. Add a retraction and a new label.")
        super().save(*args, **kwargs)


class Vote(models.Model):
    """A reviewer's vote on an image: their newest active label, of all submissions with the same digest.

    Derived from the labels, so that the cost of adding a label does not grow with their number. It has no foreign key
    constraints, so that a release without this table can delete the rows it refers to. A vote whose label was deleted
    is recomputed from the labels when it is next needed.
    """

    digest = models.CharField(max_length=64)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="+",
        help_text="Null if the account was deleted.",
    )
    label = models.ForeignKey(Label, null=True, on_delete=models.SET_NULL, db_constraint=False, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["digest", "user"], name="vote_once_per_picture")]

    def __str__(self) -> str:
        return f"{self.user_id} on {self.digest[:8]}"


class Lease(models.Model):
    """A submission that is reserved for one reviewer until `expires`."""

    submission = models.OneToOneField(Submission, on_delete=models.CASCADE, related_name="lease")
    digest = models.CharField(
        max_length=64,
        unique=True,
        help_text="Digest of the submission, so that copies are not leased at the same time.",
    )
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="leases")
    reason = models.CharField(max_length=16, choices=LabelReason)
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["reviewer", "expires"], name="lease_reviewer")]

    def __str__(self) -> str:
        return f"{self.submission_id} leased to {self.reviewer_id}"


class Skip(models.Model):
    """A submission that a reviewer skipped. Other reviewers are shown it first."""

    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="skips")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="skips")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["submission", "reviewer"], name="skip_once_per_reviewer")]

    def __str__(self) -> str:
        return f"{self.submission_id} skipped by {self.reviewer_id}"
