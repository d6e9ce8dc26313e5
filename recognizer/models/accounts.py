"""What the site keeps of an account beside Django's own row: its name in a comparable form, and its sessions."""

from django.conf import settings
from django.db import models

MAX_KEY_LENGTH = 255


class AccountName(models.Model):
    """The comparable form of an account's name, unique: names that people would take for each other have the same one.

    Written whenever an account is saved (`recognizer.signals`). Without a constraint to the account's row, so that a
    release that does not know this table can delete accounts; a name without an account is free.
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
    """A browser in which an account is signed in; Django's own table of sessions does not say whose they are."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_constraint=False, related_name="sessions"
    )
    session_key = models.CharField(max_length=40, unique=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"session of {self.user_id}"
