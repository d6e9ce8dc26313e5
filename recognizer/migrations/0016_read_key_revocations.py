"""Add the number of revocations that the read key of a submission signs; 0 leaves the keys of 0.9.0 valid.

The previous release (0.9.0) runs on this schema: the column has a default in the database. It accepts read keys that
were revoked meanwhile.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("recognizer", "0015_usage_bytes")]

    operations = [
        migrations.AddField(
            model_name="submission",
            name="read_key_revocations",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="How often its read key was revoked; part of what the next one signs.",
            ),
        ),
    ]
