"""The shipped base model becomes version 1, live from the start: a new site answers without any training."""

import hashlib
import json
from dataclasses import asdict

from django.db import migrations

from ml.serving import bundle as bundles


def install_base(apps, schema_editor):
    folder = bundles.BASE_FOLDER
    keras_file = (folder / "my_model.keras").read_bytes()
    bundle = (folder / bundles.BUNDLE_FILE).read_bytes()
    metrics = json.loads((folder / "metrics.json").read_text())
    version = apps.get_model("recognizer", "ModelVersion").objects.create(
        number=1,
        origin="base",
        keras_sha256=hashlib.sha256(keras_file).hexdigest(),
        bundle_sha256=hashlib.sha256(bundle).hexdigest(),
        manifest=asdict(bundles.read(bundle).manifest),
        recipe=metrics.get("recipe", {}),
        history=json.loads((folder / "history.json").read_text()),
        metrics=metrics,
    )
    files = apps.get_model("recognizer", "ModelFiles")
    files.objects.create(version=version, keras_file=keras_file, bundle=bundle)
    apps.get_model("recognizer", "Deployment").objects.create(
        sequence=1, kind="install", to_version=version, why="The shipped base model, installed with the site."
    )


class Migration(migrations.Migration):
    dependencies = [("recognizer", "0002_groups")]

    operations = [migrations.RunPython(install_base, migrations.RunPython.noop)]
