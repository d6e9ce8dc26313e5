"""Data of an account besides Django's user row: the normalized name and the sessions."""

from django.conf import settings
from django.db import models

MAX_KEY_LENGTH = 255


class AccountName(models.Model):
    """The normalized name of an account. Unique, so that two accounts cannot have confusingly similar names.

    Written whenever an account is saved (`recognizer.signals`). It has no foreign key constraint, so that a release
    without this table can delete accounts. A name without an account is free.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        db_constraint=False,
        related_name="name_key",
    )
    key = models.CharField(max_length=MAX_KEY_LENGTH, unique=True)

    def __str__(self) -> str:
        return self.key


class AccountSession(models.Model):
    """A session of an account. Django's own session table has no column for the account."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_constraint=False, related_name="sessions"
    )
    session_key = models.CharField(max_length=40, unique=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"session of {self.user_id}"
