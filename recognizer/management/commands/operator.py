"""`manage.py operator NAME`: a one-time sign-in link for an operator, who is made if there is none of that name."""

from argparse import ArgumentParser

from django.conf import settings
from django.core.management import BaseCommand, CommandError

from recognizer.services import accounts

# Where a running `make run` says at which address it answers.
ADDRESS_FILE = "address"


class Command(BaseCommand):
    help = "Print a one-time sign-in link for the operator NAME; the account is made if there is none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the account's name")
        parser.add_argument("--site", default="", help="the site's address; by default the one that `make run` serves")

    def handle(self, *, name: str, site: str, **options: object) -> None:
        try:
            user = accounts.make_operator(name)
        except ValueError as error:
            raise CommandError(str(error)) from error
        address_file = settings.DATA_DIR / ADDRESS_FILE
        if not site and address_file.exists():
            site = address_file.read_text().strip()
        self.stdout.write((site or "http://localhost:8000").rstrip("/") + accounts.sign_in_link(user))
