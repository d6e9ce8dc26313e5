"""`manage.py retrain`: request a training run from the running site; with `--wait`, follow it to its end."""

import time

from django.core.management import BaseCommand, CommandError, CommandParser

from recognizer.models import RunState, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services import training
from recognizer.services.identity.actors import SYSTEM_ACTOR
from recognizer.services.training.scheduling import RECIPES

POLL_SECONDS = 1.0


class Command(BaseCommand):
    """Request a training run."""

    help = "Request a training run; the site's trainer carries it out."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("--recipe", choices=RECIPES, default=RECIPES[0], help="default: %(default)s")
        parser.add_argument(
            "--seed", type=int, default=1, help="seed of the training; another seed trains again on the same labels"
        )
        parser.add_argument("--wait", action="store_true", help="print the log until the run ends")

    def handle(self, *, recipe: str, seed: int, wait: bool, **options: object) -> None:
        """Request the run, and follow it with `--wait`."""
        try:
            run = training.request_run(actor=SYSTEM_ACTOR, recipe=recipe, seed=seed)
        except training.CannotTrainError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Training run {run.pk} is waiting for the trainer.")
        if wait:
            self._follow(run)

    def _follow(self, run: TrainingRun) -> None:
        line_count = 0
        while True:
            training.expire_stale()
            run.refresh_from_db()
            for _, line in run.log[line_count:]:
                self.stdout.write(line)
            line_count = len(run.log)
            if run.state not in ACTIVE_RUN_STATES:
                break
            time.sleep(POLL_SECONDS)  # Another process writes the row, without notification.
        for reason in run.reasons:
            self.stdout.write(reason)
        if run.state in (RunState.FAILED, RunState.CANCELLED):
            raise CommandError(f"Training run {run.pk}: {run.get_state_display().lower()}.")
        self.stdout.write(self.style.SUCCESS(f"Training run {run.pk}: {run.get_state_display().lower()}."))
