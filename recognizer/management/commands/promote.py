"""`manage.py promote VERSION`: make a version live that passed the gate; with `--force` and `--why`, any version."""

from django.core.management import BaseCommand, CommandError, CommandParser

from recognizer.models import ModelVersion
from recognizer.services.identity.actors import SYSTEM_ACTOR
from recognizer.services.registry import deployments, versions


class Command(BaseCommand):
    """Make a model version live."""

    help = "Make a version live; workers use it from their next batch on."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("version", type=int, help="number of the version")
        parser.add_argument(
            "--force", action="store_true", help="promote it although it did not pass the gate; requires --why"
        )
        parser.add_argument("--why", default="", help="reason, stored with the deployment")

    def handle(self, *, version: int, force: bool, why: str, **options: object) -> None:
        """Promote the version."""
        model_version = ModelVersion.objects.filter(number=version).first()
        if model_version is None:
            raise CommandError(f"There is no version {version}.")
        try:
            deployments.promote(actor=SYSTEM_ACTOR, version=model_version, force=force, why=why)
        except versions.RegistryError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS(f"Version {version} is live."))
