"""Rename the model Usage to DailyUsage and reword help texts.

The previous release (0.9.0) runs on this schema: only the migration state changes, and the table keeps its name.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("recognizer", "0016_read_key_revocations"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelTable(name="usage", table="recognizer_usage"),
        migrations.RenameModel(old_name="Usage", new_name="DailyUsage"),
        migrations.AlterField(
            model_name="dailyusage",
            name="bytes",
            field=models.PositiveBigIntegerField(
                default=0, help_text="Size of all stored data: images, strokes, rows and responses."
            ),
        ),
        migrations.AlterField(
            model_name="dailyusage",
            name="who",
            field=models.CharField(help_text="Id of the account, or keyed hash of the address.", max_length=40),
        ),
        migrations.AlterField(
            model_name="idempotencykey",
            name="attempt",
            field=models.CharField(help_text="Random id of the attempt that may write this row.", max_length=16),
        ),
        migrations.AlterField(
            model_name="idempotencykey",
            name="busy_until",
            field=models.DateTimeField(help_text="Time after which another attempt may take over."),
        ),
        migrations.AlterField(
            model_name="idempotencykey",
            name="fingerprint",
            field=models.CharField(help_text="SHA-256 of the request.", max_length=64),
        ),
        migrations.AlterField(
            model_name="idempotencykey",
            name="scope",
            field=models.CharField(help_text="Client of the request.", max_length=80),
        ),
        migrations.AlterField(
            model_name="label",
            name="stands",
            field=models.BooleanField(
                db_default=True, default=True, help_text="Neither a retraction nor retracted. Derived, for indexes."
            ),
        ),
        migrations.AlterField(
            model_name="lease",
            name="digest",
            field=models.CharField(
                help_text="Digest of the submission, so that copies are not leased at the same time.",
                max_length=64,
                unique=True,
            ),
        ),
        migrations.AlterField(
            model_name="modelfiles",
            name="bundle",
            field=models.BinaryField(help_text="Bundle that the workers load."),
        ),
        migrations.AlterField(
            model_name="modelfiles",
            name="keras_file",
            field=models.BinaryField(help_text="my_model.keras, the authoritative file."),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="counts",
            field=models.JSONField(blank=True, default=dict, help_text="Number of training examples by source."),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="gate",
            field=models.JSONField(blank=True, default=list, help_text="Checks of the gate with their metrics."),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="manifest",
            field=models.JSONField(help_text="Copy of the bundle's manifest: preprocessing version, thresholds, …"),
        ),
        migrations.AlterField(
            model_name="prediction",
            name="certainty",
            field=models.FloatField(help_text="Probability of `digit`."),
        ),
        migrations.AlterField(
            model_name="prediction",
            name="doubt",
            field=models.FloatField(help_text="0 (certain) to 1 (doubtful); orders the review queue."),
        ),
        migrations.AlterField(
            model_name="prediction",
            name="energy",
            field=models.FloatField(help_text="-log sum exp of the logits; high for images that are not digits."),
        ),
        migrations.AlterField(
            model_name="prediction",
            name="milliseconds",
            field=models.FloatField(help_text="This image's share of the forward pass of its batch."),
        ),
        migrations.AlterField(
            model_name="submission",
            name="crop",
            field=models.JSONField(
                blank=True, help_text="[left, top, right, bottom] in pixels of the stored image.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="submission",
            name="demo",
            field=models.BooleanField(default=False, help_text="Created by `manage.py demo`."),
        ),
        migrations.AlterField(
            model_name="submission",
            name="ink",
            field=models.JSONField(
                blank=True, default=dict, help_text="Image features of the ink, measured by preprocessing."
            ),
        ),
        migrations.AlterField(
            model_name="submission",
            name="may_train",
            field=models.BooleanField(default=True, help_text="False after an opt-out from training."),
        ),
        migrations.AlterField(
            model_name="submission",
            name="models_disagree",
            field=models.BooleanField(default=False, help_text="Model versions predicted different digits."),
        ),
        migrations.AlterField(
            model_name="submission",
            name="pen",
            field=models.JSONField(
                blank=True, help_text="Pen width of each stroke, in units of the 280 x 280 canvas; null: 20.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="submission",
            name="picture",
            field=models.CharField(help_text="Name of the stored image in the media storage.", max_length=120),
        ),
        migrations.AlterField(
            model_name="submission",
            name="pixels",
            field=models.BinaryField(help_text="Cached input of the model: 28 x 28 uint8, row by row."),
        ),
        migrations.AlterField(
            model_name="submission",
            name="read_key_revocations",
            field=models.PositiveIntegerField(
                db_default=0, default=0, help_text="Number of revocations of the read key; part of the signed data."
            ),
        ),
        migrations.AlterField(
            model_name="submission",
            name="share_key",
            field=models.CharField(blank=True, help_text="Key of the share link; empty if not shared.", max_length=32),
        ),
        migrations.AlterField(
            model_name="submission",
            name="strokes",
            field=models.JSONField(blank=True, help_text="[[x…], [y…], [t…]] for each stroke of a drawing.", null=True),
        ),
        migrations.AlterField(
            model_name="token",
            name="last_used",
            field=models.DateTimeField(blank=True, help_text="Accurate to a few minutes.", null=True),
        ),
        migrations.AlterField(
            model_name="token",
            name="name",
            field=models.CharField(help_text="Purpose, as described by the owner.", max_length=60),
        ),
        migrations.AlterField(
            model_name="token",
            name="scopes",
            field=models.JSONField(help_text="List of: read, submit, review, operate."),
        ),
        migrations.AlterField(
            model_name="trainingrun",
            name="labels",
            field=models.PositiveIntegerField(
                default=0, help_text="Settled labels available for training at the start."
            ),
        ),
        migrations.AlterField(
            model_name="trainingrun",
            name="log",
            field=models.JSONField(blank=True, default=list, help_text="[[time, line], …]"),
        ),
        migrations.AlterField(
            model_name="trainingrun",
            name="reasons",
            field=models.JSONField(
                blank=True, default=list, help_text="Reasons for a rejection, cancellation or failure."
            ),
        ),
        migrations.AlterField(
            model_name="vote",
            name="user",
            field=models.ForeignKey(
                db_constraint=False,
                help_text="Null if the account was deleted.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
