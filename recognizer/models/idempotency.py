"""Stored responses of requests with an `Idempotency-Key`, for clients that repeat a request."""

from django.db import models

from .submissions import Submission


class IdempotencyKey(models.Model):
    """An `Idempotency-Key` of a client. Its life cycle is described in services.identity.idempotency.

    `stored` is written in the transaction that stores the request's data; `status`, `headers` and `body` are written
    with the response. The fingerprint is empty once all the data that the request stored has been deleted.
    """

    scope = models.CharField(max_length=80, help_text="Client of the request.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the request.")
    attempt = models.CharField(max_length=16, help_text="Random id of the attempt that may write this row.")
    busy_until = models.DateTimeField(help_text="Time after which another attempt may take over.")
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
    """A submission that a request with an `Idempotency-Key` stored. Finds the responses that a deletion must redact.

    It has no foreign key constraints, so that release 0.9.0, which lacks this table, can delete both sides.
    """

    key = models.ForeignKey(IdempotencyKey, on_delete=models.CASCADE, related_name="items", db_constraint=False)
    submission = models.ForeignKey(
        Submission, on_delete=models.CASCADE, related_name="idempotency_items", db_constraint=False
    )

    def __str__(self) -> str:
        return f"{self.submission_id} of key {self.key_id}"
