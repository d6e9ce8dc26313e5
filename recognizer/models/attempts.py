"""Attempts at throttled operations, such as signing in."""

from django.db import models


class Attempt(models.Model):
    """One attempt. Account and address are keyed digests: they can be counted, but not read."""

    class Kind(models.TextChoices):
        """The operation that was attempted."""

        SIGN_IN = "sign-in", "Wrong password"
        SIGN_UP = "sign-up", "New account"
        MAIL = "mail", "Mail for a new password"
        SESSION = "session", "Right password"
        PASSWORD = "password", "Password to be changed"

    kind = models.CharField(max_length=8, choices=Kind)
    account = models.CharField(max_length=32)
    address = models.CharField(max_length=32)
    created = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["kind", "account", "created"], name="attempt_account"),
            models.Index(fields=["kind", "address", "created"], name="attempt_address"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.created:%Y-%m-%d %H:%M}"
