"""Add the further readings of a submission, and the index of the reading that a prediction chose.

The previous release (0.9.0) runs on this schema: the columns have defaults in the database. Its rows have one reading.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("recognizer", "0017_daily_usage"),
    ]

    operations = [
        migrations.AddField(
            model_name="prediction",
            name="reading",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, help_text="Index of the chosen reading of the submission; 0 is the plain one."
            ),
        ),
        migrations.AddField(
            model_name="submission",
            name="further_ink",
            field=models.JSONField(
                blank=True,
                db_default=models.Value([], models.JSONField()),
                default=list,
                help_text="Image features of each further reading, and its `kind`.",
            ),
        ),
        migrations.AddField(
            model_name="submission",
            name="further_pixels",
            field=models.BinaryField(
                db_default=b"",
                default=b"",
                help_text="Further readings of the image: 784 bytes each, in the form of `pixels`.",
            ),
        ),
    ]
