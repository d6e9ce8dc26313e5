"""`manage.py sanity`: check the stored data for consistency. Exit status 1 if something is missing or damaged."""

import sys

from django.core.management import BaseCommand, CommandError
from django.db import DatabaseError

from recognizer.services.ops import consistency


class Command(BaseCommand):
    """Check the stored data for consistency."""

    help = "Compare rows, images and model files with each other. Exit status 1 if something is missing or damaged."
    requires_system_checks = []

    def handle(self, **options: object) -> None:
        """Run the check and print its findings."""
        try:
            report = consistency.check()
        except DatabaseError as error:
            raise CommandError(f"The database cannot be read: {error}", returncode=2) from error
        for finding in report.findings:
            self.stdout.write(f"{'note' if finding.is_harmless else 'BAD '} {finding}")
        verdict = "nothing is missing or damaged" if report.is_sane else "see above"
        self.stdout.write(
            f"checked {report.submissions} submissions, {report.pictures} images, {report.models} models: {verdict}"
        )
        if not report.is_sane:
            sys.exit(1)
