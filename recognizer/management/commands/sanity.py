"""`manage.py sanity`: is everything that is stored there and whole? Ends with 1 where something is not."""

import sys

from django.core.management import BaseCommand, CommandError
from django.db import DatabaseError

from recognizer.services.ops import consistency


class Command(BaseCommand):
    help = "Compare rows, pictures and model files with each other. Exit status 1 when something is missing or damaged."
    requires_system_checks = []

    def handle(self, **options: object) -> None:
        try:
            found = consistency.check()
        except DatabaseError as error:
            raise CommandError(f"The database cannot be read: {error}", returncode=2) from error
        for finding in found.findings:
            self.stdout.write(f"{'note' if finding.is_harmless else 'BAD '} {finding}")
        verdict = "nothing is missing or damaged" if found.is_sane else "see above"
        self.stdout.write(
            f"looked at {found.submissions} submissions, {found.pictures} pictures, {found.models} models: {verdict}"
        )
        if not found.is_sane:
            sys.exit(1)
