"""`manage.py run_training RUN`: the training process of one run. The trainer's worker starts it.

To request a training run, use `manage.py retrain`.
"""

import os
import threading

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser

from recognizer.services.training import run_state
from recognizer.services.training.subprocess_runner import TOKEN_VARIABLE

STDIN = 0


class Command(BaseCommand):
    """Carry out a training run."""

    help = "Carry out a training run. Started by the trainer's worker; to request one, use `manage.py retrain`."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("run", type=int, help="number of the run")

    def handle(self, *, run: int, **options: object) -> None:
        """Carry out the run whose token is in the environment."""
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            raise CommandError("Only the trainer's worker starts this. Use `manage.py retrain`.")
        threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
        import cv2

        from recognizer.services.training import pipeline

        cv2.setNumThreads(settings.TRAINING_THREADS)  # those of TensorFlow are set in the environment
        try:
            pipeline.run_pipeline(run, token)
        except run_state.LostRunError:
            raise CommandError(f"Training run {run} is held by another process; nothing was written.") from None


def _end_with_parent() -> None:
    """Exit this process when the trainer's worker closes the pipe to standard input.

    It does not read `sys.stdin`: at exit the interpreter would wait for the lock of the blocked reader, and abort.
    """
    while os.read(STDIN, 1024):
        continue
    os._exit(1)
