"""`manage.py run_training RUN`: the process in which one training run happens. The trainer's worker starts it.

To ask for a training, use `manage.py retrain`.
"""

import os
import threading
from argparse import ArgumentParser

from django.core.management import BaseCommand, CommandError

from recognizer.services.training import run_state
from recognizer.services.training.subprocess_runner import TOKEN_VARIABLE

STDIN = 0


class Command(BaseCommand):
    help = "Carry out a training run. Started by the trainer's worker; to ask for one use `manage.py retrain`."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, help="the run's number")

    def handle(self, *, run: int, **options: object) -> None:
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            raise CommandError("Only the trainer's worker starts this. Use `manage.py retrain`.")
        threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
        from recognizer.services.training import pipeline

        pipeline.lower_priority()
        try:
            pipeline.run_pipeline(run, token)
        except run_state.LostRunError:
            raise CommandError(f"Training run {run} is not ours any more; nothing was written.") from None


def _end_with_parent() -> None:
    """End this process, whatever it is doing, when the pipe ends that the trainer's worker holds open.

    Not through sys.stdin: at exit the interpreter would wait for the lock that a blocked reader holds, and abort.
    """
    while os.read(STDIN, 1024):
        continue
    os._exit(1)
