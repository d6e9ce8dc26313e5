"""Add Vote, the current review of each person for a submission, and Label.stands, which marks the last label.

The previous release (0.9.0) runs on this schema: the new column has a default in the database, and the new table has no
constraints that its deletions could violate. A review that it stores or retracts counts only from the next review of
the same submission by the same person on: do not use both releases for reviews at the same time.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models import Max, Q

BATCH = 500


def derive(apps: StateApps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Work both out from the labels that there are."""
    label_model, vote_model = apps.get_model("recognizer", "Label"), apps.get_model("recognizer", "Vote")
    retracted = label_model.objects.filter(retracts__isnull=False).values("retracts")
    label_model.objects.filter(Q(value="") | Q(pk__in=retracted)).update(stands=False)
    reviews = label_model.objects.filter(kind="review", stands=True).order_by()
    last = reviews.values("submission__digest", "user").annotate(last=Max("pk"))
    vote_model.objects.bulk_create(
        (
            vote_model(digest=digest, user_id=user, label_id=label)
            for digest, user, label in last.values_list("submission__digest", "user", "last")
        ),
        batch_size=BATCH,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("recognizer", "0013_account_names_and_sessions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="label",
            name="stands",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Neither a retraction nor retracted: derived, for indexes.",
            ),
        ),
        migrations.RemoveIndex(model_name="label", name="label_said"),
        migrations.AddIndex(
            model_name="label", index=models.Index(fields=["submission", "-id"], name="label_of_submission")
        ),
        migrations.AddIndex(
            model_name="label",
            index=models.Index(
                condition=models.Q(("stands", True)),
                fields=["submission", "kind", "user", "-id"],
                name="label_stands_by_user",
            ),
        ),
        migrations.AddIndex(
            model_name="label",
            index=models.Index(
                condition=models.Q(("stands", True)), fields=["submission", "kind", "-id"], name="label_stands"
            ),
        ),
        migrations.CreateModel(
            name="Vote",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(max_length=64)),
                (
                    "label",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="recognizer.label",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        help_text="Null: the account was deleted.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("digest", "user"), name="vote_once_per_picture")],
            },
        ),
        migrations.RunPython(derive, migrations.RunPython.noop),
    ]
