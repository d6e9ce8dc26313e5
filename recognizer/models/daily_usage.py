"""Daily usage, for the quotas."""

from django.db import models


class Usage(models.Model):
    """Usage of one account or address on one day (UTC). Rows of older days are deleted."""

    day = models.DateField()
    who = models.CharField(
        max_length=40, help_text="An account's id, or a keyed hash of an address: never the address."
    )
    submissions = models.PositiveIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(
        default=0, help_text="Of all that was stored: pictures, strokes, rows, responses."
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "who"], name="usage_once_a_day")]

    def __str__(self) -> str:
        return f"{self.day}: {self.submissions} submissions"
