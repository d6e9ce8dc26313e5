"""`python -m digitsite.worker QUEUE`: a Celery worker of one of our queues, predictions, default or train.

The same as Celery's own command, written out in digitsite/celery.py, but without loading all of that command's other
sub-commands and Django's checks, which load every page: 40 MB and a second less for each worker. The supervisor starts
its workers so; there may be any number of them on any number of machines.
"""

import os
import socket
import sys
import warnings

from celery.exceptions import SecurityWarning

# pool and concurrency. One LiteRT interpreter serves one thread, so a prediction worker is one thread: solo.
# Of training it is enough to have one; its thread waits for a process of its own, which takes TensorFlow with it.
QUEUES = {"predictions": ("solo", 1), "default": ("threads", 2), "train": ("threads", 1)}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in QUEUES:
        print(f"usage: python -m digitsite.worker {'|'.join(QUEUES)}", file=sys.stderr)
        return 2
    queue = arguments[0]
    os.environ["CELERY_SKIP_CHECKS"] = "1"
    # Ten lines about being root, for each worker; `make run` says it in one.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    from django.conf import settings

    from .celery import app

    if queue == "train":
        # A message may wait here behind the longest training; that time binds the trainer alone, so what it holds has
        # keys of its own in Redis, which no other worker looks through.
        held = {f"unacked{part}_key": f"unacked{part}.train" for part in ("", "_index", "_mutex")}
        longest = settings.RETRAIN_TIME_LIMIT + 3600
        app.conf.broker_transport_options |= {"visibility_timeout": longest, **held}
    pool, concurrency = QUEUES[queue]
    worker = app.Worker(
        # Unique: heartbeats are kept by this name.
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
