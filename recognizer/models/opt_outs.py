"""Opt-outs from training."""

from django.conf import settings
from django.db import models
from django.db.models import Q


class OptOut(models.Model):
    """Excludes the submissions of an account, or of a visitor without an account, from training."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="opt_out"
    )
    visitor = models.CharField(max_length=32, blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, visitor="") | (Q(user__isnull=True) & ~Q(visitor="")),
                name="opt_out_of_one_person",
            ),
            models.UniqueConstraint(fields=["visitor"], condition=~Q(visitor=""), name="opt_out_once_per_visitor"),
        ]

    def __str__(self) -> str:
        return f"opt-out of {self.user_id or 'a visitor'}"
