"""`manage.py promote VERSION`: make a version live that the gate let pass, or with `--force` and `--why` any."""

from argparse import ArgumentParser

from django.core.management import BaseCommand, CommandError

from recognizer.models import ModelVersion
from recognizer.services.identity.actors import SYSTEM_ACTOR
from recognizer.services.registry import deployments, versions


class Command(BaseCommand):
    help = "Make a version live; workers answer with it from their next batch on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("version", type=int, help="its number")
        parser.add_argument("--force", action="store_true", help="although the gate refused it; --why is needed then")
        parser.add_argument("--why", default="", help="kept beside the change")

    def handle(self, *, version: int, force: bool, why: str, **options: object) -> None:
        wanted = ModelVersion.objects.filter(number=version).first()
        if wanted is None:
            raise CommandError(f"There is no version {version}.")
        try:
            deployments.promote(actor=SYSTEM_ACTOR, version=wanted, force=force, why=why)
        except versions.RegistryError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS(f"Version {version} is live."))
