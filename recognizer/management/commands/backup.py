"""`manage.py backup FILE`: write a backup of the running site to one file."""

from pathlib import Path

from django.core.management import BaseCommand, CommandError, CommandParser

from recognizer.services.lib.units import MEGABYTE
from recognizer.services.ops import backup


class Command(BaseCommand):
    """Write a backup of the site to a file."""

    help = "Write database, models and images to FILE while the site runs. FILE contains secrets: store it safely."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("file", type=Path, help="the archive to write, such as digits-2026-11-22.tar")

    def handle(self, *, file: Path, **options: object) -> None:
        """Write the backup and report what it contains."""
        try:
            manifest = backup.create_backup(file)
        except backup.BackupError as error:
            raise CommandError(str(error)) from error
        size = file.stat().st_size / MEGABYTE
        self.stdout.write(
            f"{file}: {manifest.rows} rows of {manifest.engine}, {manifest.pictures} images, {size:.1f} MB"
        )
        if manifest.missing:
            raise CommandError(
                f"{len(manifest.missing)} images are missing and not in the backup; `manage.py sanity` lists them."
            )
