"""Say in the model what Usage.bytes counts. The previous release (0.9.0) runs on this schema, which is the same."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("recognizer", "0014_votes")]

    operations = [
        migrations.AlterField(
            model_name="usage",
            name="bytes",
            field=models.PositiveBigIntegerField(
                default=0, help_text="Of all that was stored: pictures, strokes, rows, responses."
            ),
        ),
    ]
