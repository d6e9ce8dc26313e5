"""Add the crop to a prediction and to its unique key, so that a submission can be cropped again.

The previous release (0.9.0) runs on this schema except for its prediction workers, whose INSERT names the old key. They
postpone every batch, which a worker of this release predicts. Stop them before the migration.
"""

from django.db import migrations, models

# Predictions so far are of the crop with which the submission was created.
FILL = """
    UPDATE recognizer_prediction SET crop = (
        SELECT CAST(s.crop AS text) FROM recognizer_submission s WHERE s.id = recognizer_prediction.submission_id
    )
    WHERE submission_id IN (SELECT id FROM recognizer_submission WHERE crop IS NOT NULL)
"""


class Migration(migrations.Migration):
    dependencies = [("recognizer", "0018_readings")]

    operations = [
        migrations.AddField(
            model_name="prediction",
            name="crop",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="JSON of the submission's crop; empty: none.",
                max_length=40,
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RemoveConstraint(model_name="prediction", name="prediction_once_per_version"),
        migrations.AddConstraint(
            model_name="prediction",
            constraint=models.UniqueConstraint(
                fields=("submission", "version", "preprocessing_version", "crop"), name="prediction_once_per_crop"
            ),
        ),
        # The filter of History by the prediction of a version compares the crop: the index covers it.
        migrations.RemoveIndex(model_name="submission", name="submission_narrow"),
        migrations.AddIndex(
            model_name="submission",
            index=models.Index(
                fields=[
                    *("-id", "digit", "verdict", "certainty", "doubt", "answered_by", "source", "state"),
                    *("truth_state", "truth", "created", "owner", "visitor", "preprocessing_version", "crop"),
                ],
                name="submission_narrow",
            ),
        ),
    ]
