"""API tokens."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from .choices import Scope


class Token(models.Model):
    """A token with which a program acts for an account, within its scopes.

    The key is shown to its owner once and not stored: `digest` is its SHA-256. A key has 256 random bits, so that a
    salt or a slow hash would add no security.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=60, help_text="Purpose, as described by the owner.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(help_text="List of: read, submit, review, operate.")
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField()
    last_used = models.DateTimeField(null=True, blank=True, help_text="Accurate to a few minutes.")

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="token_name_once_per_user")]

    def __str__(self) -> str:
        return f"{self.name} of {self.user_id}"

    @property
    def has_expired(self) -> bool:
        """True if the token is no longer valid."""
        return self.expires <= timezone.now()

    def get_scopes_display(self) -> str:
        """Return the labels of the scopes."""
        return ", ".join(Scope(scope).label for scope in self.scopes)
