"""A default worker that stops consuming without an error when a file `deaf` appears in its data directory.

Celery's consumers are known to do so after Redis was unavailable. That state cannot be produced on purpose, so this
worker cancels its consumer and keeps connection, beat and timers. Everything else is the real worker:
`python -m tests.support.unresponsive_worker default`.

`python -m tests.support.unresponsive_worker` without arguments is the real supervisor with this default worker.
"""

import sys
from pathlib import Path

from digitsite import worker
from digitsite.data_directory import data_dir
from digitsite.supervisor import __main__ as supervisor
from digitsite.supervisor import commands

FILE = "deaf"


def main() -> int:
    if sys.argv[1:] == []:
        real = commands.worker
        # Before the supervisor starts any process.
        commands.worker = lambda *queues: (
            [sys.executable, "-m", "tests.support.unresponsive_worker", *queues]
            if "default" in queues
            else real(*queues)
        )
        return supervisor.main()
    _stop_consuming_on(data_dir() / FILE)
    return worker.main(sys.argv[1:])


def _stop_consuming_on(trigger: Path) -> None:
    from celery import bootsteps

    from digitsite.celery import app

    class StopConsuming(bootsteps.StartStopStep):
        requires = {"celery.worker.consumer.tasks:Tasks"}

        def start(self, consumer: object) -> None:
            def check() -> None:
                if trigger.exists():
                    trigger.unlink()
                    consumer.cancel_task_queue("default")

            consumer.timer.call_repeatedly(0.1, check)

    app.steps["consumer"].add(StopConsuming)


if __name__ == "__main__":
    sys.exit(main())
