"""`manage.py status`: print the status of every part of the site. Exit status 1 if there is a problem."""

import json
import sys
from dataclasses import asdict

from django.core.management import BaseCommand, CommandParser

from recognizer.services.ops import status


class Command(BaseCommand):
    """Print the status of the site."""

    help = "Print the status of every part of the site, and what to do about problems. Exit status 1 if there are any."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *, json: bool, **options: object) -> None:
        """Run all status checks and print them."""
        checks = status.checks()
        if json:
            self._print_json(checks)
        else:
            for check in checks:
                self._print(check)
        if not all(check.is_well for check in checks):
            sys.exit(1)

    def _print(self, check: status.Check) -> None:
        when = f" {check.when:%Y-%m-%d %H:%M} UTC" if check.when else ""
        mark = self.style.SUCCESS("ok ") if check.is_well else self.style.ERROR("BAD")
        self.stdout.write(f"{mark} {check.title}: {check.says}{when}")
        if not check.is_well:
            self.stdout.write(f"    {check.what_to_do}")

    def _print_json(self, checks: list[status.Check]) -> None:
        rows = [asdict(check) | {"when": check.when.isoformat() if check.when else None} for check in checks]
        self.stdout.write(json.dumps({"is_well": all(check.is_well for check in checks), "checks": rows}, indent=1))
