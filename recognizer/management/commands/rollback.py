"""`manage.py rollback [VERSION]`: make an earlier version live again, by default the previous one."""

from django.core.management import BaseCommand, CommandError, CommandParser

from recognizer.models import ModelVersion
from recognizer.services.identity.actors import SYSTEM_ACTOR
from recognizer.services.registry import deployments, versions


class Command(BaseCommand):
    """Make an earlier model version live again."""

    help = "Make an earlier version live again; workers use it from their next batch on."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("version", type=int, nargs="?", help="number of the version; default: the previous one")
        parser.add_argument(
            "--why", default="Rolled back on the command line.", help="reason, stored with the deployment"
        )

    def handle(self, *, version: int | None, why: str, **options: object) -> None:
        """Roll back to the version."""
        model_version = None
        if version is not None and (model_version := ModelVersion.objects.filter(number=version).first()) is None:
            raise CommandError(f"There is no version {version}.")
        try:
            deployment = deployments.roll_back(actor=SYSTEM_ACTOR, version=model_version, why=why)
        except versions.RegistryError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS(f"Version {deployment.to_version.number} is live."))
