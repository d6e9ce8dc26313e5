"""`manage.py retrain`: ask the running site for a training; with `--wait` follow it to its end."""

import time
from argparse import ArgumentParser

from django.core.management import BaseCommand, CommandError

from recognizer.models import RunState, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services import training
from recognizer.services.identity.actors import SYSTEM_ACTOR
from recognizer.services.training.scheduling import RECIPES

LOOK_SECONDS = 1.0


class Command(BaseCommand):
    help = "Ask for a training; the site's trainer carries it out."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--recipe", choices=RECIPES, default=RECIPES[0], help="default: %(default)s")
        parser.add_argument("--seed", type=int, default=1, help="another one trains again on the same labels")
        parser.add_argument("--wait", action="store_true", help="print the log as it grows, and end with the run")

    def handle(self, *, recipe: str, seed: int, wait: bool, **options: object) -> None:
        try:
            run = training.request_run(trigger=TrainingRun.Trigger.PERSON, actor=SYSTEM_ACTOR, recipe=recipe, seed=seed)
        except training.CannotTrainError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Training run {run.pk} waits for the trainer.")
        if wait:
            self._follow(run)

    def _follow(self, run: TrainingRun) -> None:
        shown = 0
        while True:
            training.expire_stale()
            run.refresh_from_db()
            for _, line in run.log[shown:]:
                self.stdout.write(line)
            shown = len(run.log)
            if run.state not in ACTIVE_RUN_STATES:
                break
            time.sleep(LOOK_SECONDS)  # another process writes the row, and tells nobody
        for reason in run.reasons:
            self.stdout.write(reason)
        if run.state in (RunState.FAILED, RunState.CANCELLED):
            raise CommandError(f"Training run {run.pk}: {run.get_state_display().lower()}.")
        self.stdout.write(self.style.SUCCESS(f"Training run {run.pk}: {run.get_state_display().lower()}."))
