"""`manage.py status`: every part of the site, well or not, and what to do. Exit status 1 where something is not."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict

from django.core.management import BaseCommand

from recognizer.services.ops import status


class Command(BaseCommand):
    help = "Say of every part of the site whether it is well, and what to do where it is not. Exit status 1 then."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *, json: bool, **options: object) -> None:
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
