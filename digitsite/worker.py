"""Start a Celery worker: `python -m digitsite.worker predictions|default|train`.

Equivalent to Celery's own command (see digitsite/celery.py), but without its other sub-commands and Django's checks,
which load every view: this saves 40 MB and one second per worker. Workers may run on any number of machines.
"""

import os
import socket
import sys
import warnings

from celery.exceptions import SecurityWarning

# Queue -> pool and concurrency. A prediction worker runs tasks in its main thread (solo), and reads the prediction
# queue in another thread; each has an interpreter of its own, because LiteRT's is not thread-safe.
# The thread of the trainer waits for a training process, which frees TensorFlow's memory when it ends.
QUEUES = {"predictions": ("solo", 1), "default": ("threads", 2), "train": ("threads", 1)}


def main(arguments: list[str]) -> int:
    """Run a worker until it is stopped; return the exit status."""
    if len(arguments) != 1 or arguments[0] not in QUEUES:
        print(f"usage: python -m digitsite.worker {'|'.join(QUEUES)}", file=sys.stderr)
        return 2
    queue = arguments[0]
    os.environ["CELERY_SKIP_CHECKS"] = "1"
    # Celery logs ten lines per worker if it runs as root; the supervisor logs one.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    from django.conf import settings

    from .celery import app

    if queue == "train":
        # A message may wait for the longest training. This timeout applies to the trainer only, so its unacknowledged
        # messages have their own keys in Redis, which other workers do not scan.
        keys = {f"unacked{suffix}_key": f"unacked{suffix}.train" for suffix in ("", "_index", "_mutex")}
        timeout = settings.RETRAIN_TIME_LIMIT + 3600
        app.conf.broker_transport_options |= {"visibility_timeout": timeout, **keys}
    pool, concurrency = QUEUES[queue]
    worker = app.Worker(
        # Unique, because heartbeats are stored under this name.
        hostname=f"{queue}-{os.getpid()}@{socket.gethostname()}",
        queues=[queue],
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
