"""`manage.py rollback [VERSION]`: make an earlier version live again, by default the one before the present one."""

from argparse import ArgumentParser

from django.core.management import BaseCommand, CommandError

from recognizer.models import ModelVersion
from recognizer.services.identity.actors import SYSTEM_ACTOR
from recognizer.services.registry import deployments, versions


class Command(BaseCommand):
    help = "Make an earlier version live again; workers answer with it from their next batch on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("version", type=int, nargs="?", help="its number; default: the one before the present one")
        parser.add_argument("--why", default="Rolled back on the command line.", help="kept beside the change")

    def handle(self, *, version: int | None, why: str, **options: object) -> None:
        wanted = None
        if version is not None and (wanted := ModelVersion.objects.filter(number=version).first()) is None:
            raise CommandError(f"There is no version {version}.")
        try:
            made = deployments.roll_back(actor=SYSTEM_ACTOR, version=wanted, why=why)
        except versions.RegistryError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS(f"Version {made.to_version.number} is live."))
