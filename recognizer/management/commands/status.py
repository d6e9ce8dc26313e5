"""`manage.py status`: print the status of every part of the site. Exit status 1 if there is a problem."""

import json
import sys
from dataclasses import asdict

from django.core.management import BaseCommand, CommandParser

from recognizer.services.ops import health


class Command(BaseCommand):
    """Print the status of the site."""

    help = "Print the status of every part of the site, and what to do about problems. Exit status 1 if there are any."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *, json: bool, **options: object) -> None:
        """Run all health checks and print their results."""
        results = health.run_checks()
        is_ok = all(result.is_ok for result in results)
        if json:
            self._print_json(results, is_ok=is_ok)
        else:
            for result in results:
                self._print(result)
        if not is_ok:
            sys.exit(1)

    def _print(self, result: health.Result) -> None:
        when = f" {result.when:%Y-%m-%d %H:%M} UTC" if result.when else ""
        mark = self.style.SUCCESS("ok ") if result.is_ok else self.style.ERROR("BAD")
        self.stdout.write(f"{mark} {result.title}: {result.text}{when}")
        if not result.is_ok:
            self.stdout.write(f"    {result.advice}")

    def _print_json(self, results: list[health.Result], *, is_ok: bool) -> None:
        rows = [
            asdict(result)
            | {"when": result.when.isoformat() if result.when else None}
            # Names of release 0.9.0, until 2.0.
            | {"is_well": result.is_ok, "says": result.text, "what_to_do": result.advice}
            for result in results
        ]
        self.stdout.write(json.dumps({"is_ok": is_ok, "is_well": is_ok, "checks": rows}, indent=1))
