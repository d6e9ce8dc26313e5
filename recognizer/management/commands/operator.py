"""`manage.py operator NAME`: a one-time sign-in link for an operator, who is made if there is none of that name."""

from argparse import ArgumentParser

from django.conf import settings
from django.core.management import BaseCommand, CommandError

from recognizer.services.identity import users

# Where a running `make run` says at which address it answers.
ADDRESS_FILE = "address"


class Command(BaseCommand):
    help = "Print a one-time sign-in link for the operator NAME; the account is made if there is none."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", default="operator", help="the account's name; by default, operator")
        parser.add_argument("--site", default="", help="the site's address; by default the one that `make run` serves")
        parser.add_argument(
            "--unless-signed-in", action="store_true", help="do nothing if any operator has signed in before"
        )

    def handle(self, *, name: str, site: str, unless_signed_in: bool, **options: object) -> None:
        if unless_signed_in and users.has_operator_signed_in():
            return
        try:
            user = users.make_operator(name)
        except ValueError as error:
            raise CommandError(str(error)) from error
        address_file = settings.DATA_DIR / ADDRESS_FILE
        if not site and address_file.exists():
            site = address_file.read_text().strip()
        self.stdout.write((site or "http://localhost:8000").rstrip("/") + users.sign_in_link(user))
