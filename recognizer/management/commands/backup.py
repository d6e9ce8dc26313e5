"""`manage.py backup FILE`: the whole site in one file, taken while it runs."""

from argparse import ArgumentParser
from pathlib import Path

from django.core.management import BaseCommand, CommandError

from recognizer.services.ops import backup


class Command(BaseCommand):
    help = "Write database, models and pictures to FILE while the site runs. Keep the file like a password."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the archive to be made, such as digits-2026-11-22.tar")

    def handle(self, *, file: Path, **options: object) -> None:
        try:
            made = backup.create_backup(file)
        except backup.BackupError as error:
            raise CommandError(str(error)) from error
        size = file.stat().st_size / 1_000_000
        self.stdout.write(f"{file}: {made.rows} rows of {made.engine}, {made.pictures} pictures, {size:.1f} MB")
        if made.missing:
            raise CommandError(
                f"{len(made.missing)} pictures were missing and are not in it; `manage.py sanity` names them."
            )
