"""Start a Celery worker of one or more queues: `python -m digitsite.worker default train`.

Equivalent to Celery's own command (see digitsite/celery.py), but without its other sub-commands and Django's checks,
which load every view: this saves 40 MB and one second per worker. Workers may run on any number of machines.
"""

import os
import socket
import sys
import warnings

from celery.exceptions import SecurityWarning

# Sets of queues that one worker can serve. A prediction worker runs tasks in its main thread (solo), and reads the
# prediction queue in another thread; each has an interpreter of its own, because LiteRT's is not thread-safe.
QUEUES = (["predictions"], ["default"], ["train"], ["default", "train"])


def main(arguments: list[str]) -> int:
    """Run a worker of these queues until it is stopped; return the exit status."""
    if arguments not in QUEUES:
        print(f"usage: python -m digitsite.worker {'|'.join(map(' '.join, QUEUES))}", file=sys.stderr)
        return 2
    os.environ["CELERY_SKIP_CHECKS"] = "1"
    # Celery logs ten lines per worker if it runs as root; the supervisor logs one.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    from django.conf import settings

    from .celery import app

    # At most one training is active. It holds one thread, which waits for the training process; the others are free for
    # periodic tasks and liveness probes.
    pool, concurrency = ("solo", 1) if arguments == ["predictions"] else ("threads", len(arguments) + 1)
    worker = app.Worker(
        # Unique, because heartbeats are stored under this name.
        hostname=f"{'-'.join(arguments)}-{os.getpid()}@{socket.gethostname()}",
        queues=arguments,
        pool_cls=pool,
        concurrency=concurrency,
        loglevel=settings.LOG_LEVEL,
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    return worker.exitcode or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
