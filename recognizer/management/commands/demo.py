"""`manage.py demo`: fill a site with digits written by simulated hands; `manage.py demo --remove` takes them away."""

from argparse import ArgumentParser

from django.core.management import BaseCommand, CommandError

from recognizer.services.data import demo_data


class Command(BaseCommand):
    help = "Fill the site with digits written by simulated hands, answered and partly labelled; --remove undoes it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--count", type=int, default=300, help="how many pictures (default: 300)")
        parser.add_argument("--seed", type=int, default=0, help="other hands for another number")
        parser.add_argument("--remove", action="store_true", help="delete everything that the demo made")

    def handle(self, *, count: int, seed: int, remove: bool, **options: object) -> None:
        if remove:
            self.stdout.write(f"{demo_data.remove()} pictures of the demo are gone, with their answers and labels")
            return
        if not 1 <= count <= 10_000:
            raise CommandError("--count must be a number from 1 to 10000.")
        try:
            demo_data.fill(count, seed=seed, say=self.stdout.write)
        except demo_data.DemoError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Try Review and Models now; `manage.py demo --remove` takes it all away again.")
