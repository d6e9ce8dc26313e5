"""The two groups that the site knows: reviewers, and operators, who may also review."""

from django.db import migrations

MODELS = (
    "submission",
    "prediction",
    "label",
    "lease",
    "skip",
    "modelversion",
    "modelfiles",
    "trainingrun",
    "deployment",
)


def create_groups(apps, schema_editor):
    content_types = apps.get_model("contenttypes", "ContentType").objects
    permissions = apps.get_model("auth", "Permission").objects
    groups = apps.get_model("auth", "Group").objects

    # Django makes permissions only after the last migration has run; these are needed now.
    def permission(model: str, codename: str, name: str, app: str = "recognizer"):
        content_type, _ = content_types.get_or_create(app_label=app, model=model)
        return permissions.get_or_create(content_type=content_type, codename=codename, defaults={"name": name})[0]

    review = permission("submission", "review", "Can review: sees every submission and is believed about it")
    operate = permission("modelversion", "operate", "Can operate: retrains, promotes, rolls back, sees the status page")
    groups.get_or_create(name="reviewer")[0].permissions.add(review)
    operator, _ = groups.get_or_create(name="operator")
    operator.permissions.add(review, operate)
    # Operators read every kind of row in the admin. They make accounts and give roles on the People page, not there:
    # an account that may change accounts in the admin could make itself a superuser.
    for model in MODELS:
        operator.permissions.add(permission(model, f"view_{model}", f"Can view {model}"))
    for model in ("user", "group"):
        operator.permissions.add(permission(model, f"view_{model}", f"Can view {model}", app="auth"))


class Migration(migrations.Migration):
    dependencies = [
        ("recognizer", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(create_groups, migrations.RunPython.noop)]
