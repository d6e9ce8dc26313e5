"""`manage.py operator NAME`: print a one-time sign-in link for an operator, and create the account if necessary."""

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser

from recognizer.services.identity import users

# File in DATA_DIR to which `make run` writes the address of the site.
ADDRESS_FILE = "address"


class Command(BaseCommand):
    """Print a one-time sign-in link for an operator."""

    help = "Print a one-time sign-in link for the operator NAME; the account is created if necessary."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("name", nargs="?", default="operator", help="name of the account (default: operator)")
        parser.add_argument("--site", default="", help="address of the site; default: the address of `make run`")
        parser.add_argument(
            "--unless-signed-in", action="store_true", help="do nothing if any operator has signed in before"
        )

    def handle(self, *, name: str, site: str, unless_signed_in: bool, **options: object) -> None:
        """Create the operator if necessary and print the link."""
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
