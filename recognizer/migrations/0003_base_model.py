"""The shipped base model becomes version 1, live from the start: a new site answers without any training."""

from django.db import migrations

from recognizer.services.registry import base_version_fields


def install_base(apps, schema_editor):
    columns, files = base_version_fields()
    version = apps.get_model("recognizer", "ModelVersion").objects.create(**columns)
    apps.get_model("recognizer", "ModelFiles").objects.create(version=version, **files)
    apps.get_model("recognizer", "Deployment").objects.create(
        sequence=1, kind="install", to_version=version, why="The shipped base model, installed with the site."
    )


class Migration(migrations.Migration):
    dependencies = [("recognizer", "0002_groups")]

    operations = [migrations.RunPython(install_base, migrations.RunPython.noop)]
