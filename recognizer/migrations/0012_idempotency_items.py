"""Add IdempotencyItem, by which a deletion finds the stored responses that tell of the deleted submission.

The previous release (0.9.0) runs on this schema: it neither reads nor writes the new table, and the table has no
constraints that its deletions could violate. Responses that it stores meanwhile outlive a deletion until they expire.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

BATCH = 500


def link_stored_responses(apps: StateApps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Link the responses of the last day to their submissions; drop those that tell of deleted ones."""
    key_model, item_model, submission_model = (
        apps.get_model("recognizer", name) for name in ("IdempotencyKey", "IdempotencyItem", "Submission")
    )
    ids = list(key_model.objects.filter(stored__isnull=False).values_list("pk", flat=True))
    for start in range(0, len(ids), BATCH):
        keys = list(key_model.objects.filter(pk__in=ids[start : start + BATCH]).only("stored"))
        wanted = {item["submission"] for key in keys for item in key.stored if "submission" in item}
        present = set(submission_model.objects.filter(pk__in=wanted).values_list("pk", flat=True))
        item_model.objects.bulk_create(
            item_model(key_id=key.pk, submission_id=item["submission"])
            for key in keys
            for item in key.stored
            if item.get("submission") in present
        )
        for key in keys:
            stored = [
                {"deleted": True} if "submission" in item and item["submission"] not in present else item
                for item in key.stored
            ]
            if stored != key.stored:
                emptied = {"status": None, "headers": {}, "body": ""}
                if not any("submission" in item for item in stored):
                    emptied["fingerprint"] = ""
                key_model.objects.filter(pk=key.pk).update(stored=stored, **emptied)


class Migration(migrations.Migration):
    dependencies = [("recognizer", "0011_fewer_indexes")]

    operations = [
        migrations.CreateModel(
            name="IdempotencyItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "key",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="recognizer.idempotencykey",
                    ),
                ),
                (
                    "submission",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="idempotency_items",
                        to="recognizer.submission",
                    ),
                ),
            ],
        ),
        migrations.RunPython(link_stored_responses, migrations.RunPython.noop),
    ]
