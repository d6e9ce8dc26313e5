"""Add AccountName, a unique comparable form of every account's name, and AccountSession, by which sessions are counted.

The previous release (0.9.0) runs on this schema: it neither reads nor writes the new tables, and no constraint of
theirs keeps it from deleting accounts. Accounts that it makes meanwhile get their key when they are next saved.

Names that differ in capitals or compatible characters alone all keep working. The account that was made first gets the
key, so it is found by every spelling; the others by their own spelling only.
"""

import hashlib
import unicodedata

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

MAX_KEY_LENGTH = 255


def key_of(name: str) -> str:
    """As services.account_names at this release."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name.strip()).casefold())
    return folded if len(folded) <= MAX_KEY_LENGTH else hashlib.sha256(folded.encode()).hexdigest()


def give_keys(apps: StateApps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Give every account a key; one whose name another account has already gets a key of its own."""
    user_model, name_model = apps.get_model("auth", "User"), apps.get_model("recognizer", "AccountName")
    taken: set[str] = set()
    rows = []
    for pk, name in user_model.objects.order_by("pk").values_list("pk", "username").iterator():
        key = key_of(name)
        if key in taken:
            key = f"{key[: MAX_KEY_LENGTH - 20]}#{pk}"
        taken.add(key)
        rows.append(name_model(user_id=pk, key=key))
    name_model.objects.bulk_create(rows, batch_size=500)


class Migration(migrations.Migration):
    dependencies = [
        ("recognizer", "0012_idempotency_items"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AccountName",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="name_key",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("key", models.CharField(max_length=MAX_KEY_LENGTH, unique=True)),
            ],
        ),
        migrations.CreateModel(
            name="AccountSession",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("session_key", models.CharField(max_length=40, unique=True)),
                ("created", models.DateTimeField(auto_now_add=True)),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sessions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"ordering": ["-id"]},
        ),
        migrations.AlterField(
            model_name="attempt",
            name="kind",
            field=models.CharField(
                choices=[
                    ("sign-in", "Wrong password"),
                    ("sign-up", "New account"),
                    ("mail", "Mail for a new password"),
                    ("session", "Right password"),
                    ("password", "Password to be changed"),
                ],
                max_length=8,
            ),
        ),
        migrations.RunPython(give_keys, migrations.RunPython.noop),
    ]
