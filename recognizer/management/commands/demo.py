"""`manage.py demo`: fill a site with simulated digits; `manage.py demo --remove` deletes them."""

from django.core.management import BaseCommand, CommandError, CommandParser

from recognizer.services.data import demo_data


class Command(BaseCommand):
    """Add or remove demo data."""

    help = "Fill the site with simulated digits, including predictions and some labels; --remove deletes them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("--count", type=int, default=300, help="number of images (default: 300)")
        parser.add_argument("--seed", type=int, default=0, help="seed of the simulated writers (default: 0)")
        parser.add_argument("--remove", action="store_true", help="delete all demo data")

    def handle(self, *, count: int, seed: int, remove: bool, **options: object) -> None:
        """Add or remove demo data."""
        if remove:
            self.stdout.write(f"{demo_data.remove()} demo images deleted, with their predictions and labels")
            return
        if not 1 <= count <= 10_000:
            raise CommandError("--count must be a number from 1 to 10000.")
        try:
            demo_data.fill(count, seed=seed, report=self.stdout.write)
        except demo_data.DemoError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Try Review and Models now; `manage.py demo --remove` deletes the demo data.")
