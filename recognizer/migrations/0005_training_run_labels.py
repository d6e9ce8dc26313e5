from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("recognizer", "0004_what_lists_need")]

    operations = [
        migrations.AddField(
            model_name="trainingrun",
            name="labels",
            field=models.PositiveIntegerField(
                default=0, help_text="Settled labels that could train when it was begun."
            ),
        ),
    ]
