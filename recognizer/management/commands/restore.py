"""`manage.py restore FILE`: restore the site from a backup."""

from pathlib import Path

from django.core.management import BaseCommand, CommandError, CommandParser

from recognizer.services.ops import backup


class Command(BaseCommand):
    """Restore a backup."""

    help = "Restore a backup into an empty site that is not running. FILE is verified before anything is changed."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("file", type=Path, help="a file written by `manage.py backup`")
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument(
            "--replace", action="store_true", help="restore even if this site is not empty; its data are deleted"
        )
        mode.add_argument("--check", action="store_true", help="only verify FILE")

    def handle(self, *, file: Path, replace: bool, check: bool, **options: object) -> None:
        """Restore or check the backup and report what it contains."""
        try:
            manifest = backup.verify(file) if check else backup.restore(file, replace=replace)
        except backup.BackupError as error:
            raise CommandError(str(error)) from error
        status = "is complete" if check else "was verified and restored"
        self.stdout.write(
            f"{file} of {manifest.made} {status}: {manifest.rows} rows of {manifest.engine}, {manifest.pictures} images"
        )
