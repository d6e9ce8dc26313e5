"""`manage.py restore FILE`: make this site what it was when the backup was made."""

from argparse import ArgumentParser
from pathlib import Path

from django.core.management import BaseCommand, CommandError

from recognizer.services.ops import backup


class Command(BaseCommand):
    help = "Put a backup back, into an empty site that does not run. FILE is verified before anything is changed."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="what `manage.py backup` has made")
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--replace", action="store_true", help="although this site is not empty: what it holds is lost"
        )
        what.add_argument("--check", action="store_true", help="only verify the file")

    def handle(self, *, file: Path, replace: bool, check: bool, **options: object) -> None:
        try:
            found = backup.verify(file) if check else backup.restore(file, replace=replace)
        except backup.BackupError as error:
            raise CommandError(str(error)) from error
        done = "is whole" if check else "is restored, and everything in it was found whole"
        self.stdout.write(
            f"{file} of {found.made} {done}: {found.rows} rows of {found.engine}, {found.pictures} pictures"
        )
