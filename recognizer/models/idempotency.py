"""IdempotencyKey: what was answered to a request that may come again because its answer was lost on the way."""

from django.db import models

from .submissions import Submission


class IdempotencyKey(models.Model):
    """One `Idempotency-Key` of one caller. How it is taken, kept and let go: services.identity.idempotency.

    From `stored` on, what the request stored is there: it is written in the same transaction. From `status` on, so is
    the answer. Once everything that it stored was deleted, the fingerprint is empty.
    """

    scope = models.CharField(max_length=80, help_text="Who asks.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="sha256 of the request.")
    attempt = models.CharField(max_length=16, help_text="Random; of the attempt that may write here.")
    busy_until = models.DateTimeField(help_text="Then the attempt is taken for dead, and the next one may go on.")
    expires = models.DateTimeField()
    stored = models.JSONField(null=True)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="idempotency_key_once_per_caller")]
        indexes = [models.Index(fields=["expires"], name="idempotency_key_expires")]

    def __str__(self) -> str:
        return self.key


class IdempotencyItem(models.Model):
    """A submission that a request with an `Idempotency-Key` stored: finds the answers that a deletion must redact.

    Without constraints in the database, so that release 0.9.0, which does not know this table, can delete both sides.
    """

    key = models.ForeignKey(IdempotencyKey, on_delete=models.CASCADE, related_name="items", db_constraint=False)
    submission = models.ForeignKey(
        Submission, on_delete=models.CASCADE, related_name="idempotency_items", db_constraint=False
    )

    def __str__(self) -> str:
        return f"{self.submission_id} of key {self.key_id}"
