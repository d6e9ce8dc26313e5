"""A default worker that silently stops taking messages when a file `deaf` appears in its data folder.

Celery's consumers are known to do so after Redis has been away; how they get there cannot be had at will, so this one
cancels its consumer, and leaves everything else, connection, beat and timers, as it is. All but that is the real
worker: `python -m tests.support.unresponsive_worker default`.

`python -m tests.support.unresponsive_worker` alone is the real supervisor with this for its default worker.
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
        # Before the supervisor starts anything.
        commands.worker = lambda queue: (
            [sys.executable, "-m", "tests.support.unresponsive_worker", queue] if queue == "default" else real(queue)
        )
        return supervisor.main()
    _go_deaf_when_told(data_dir() / FILE)
    return worker.main(sys.argv[1:])


def _go_deaf_when_told(told: Path) -> None:
    from celery import bootsteps

    from digitsite.celery import app

    class Deafness(bootsteps.StartStopStep):
        requires = {"celery.worker.consumer.tasks:Tasks"}

        def start(self, consumer: object) -> None:
            def look() -> None:
                if told.exists():
                    told.unlink()
                    consumer.cancel_task_queue("default")

            consumer.timer.call_repeatedly(0.1, look)

    app.steps["consumer"].add(Deafness)


if __name__ == "__main__":
    sys.exit(main())
