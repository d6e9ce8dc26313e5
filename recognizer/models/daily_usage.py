"""Daily usage, for the quotas."""

from django.db import models


class DailyUsage(models.Model):
    """Usage of one account or address on one day (UTC). Rows of older days are deleted."""

    day = models.DateField()
    who = models.CharField(max_length=40, help_text="Id of the account, or keyed hash of the address.")
    submissions = models.PositiveIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(
        default=0, help_text="Size of all stored data: images, strokes, rows and responses."
    )

    class Meta:
        # The name from before the model was renamed.
        db_table = "recognizer_usage"
        constraints = [models.UniqueConstraint(fields=["day", "who"], name="usage_once_a_day")]

    def __str__(self) -> str:
        return f"{self.day}: {self.submissions} submissions"
