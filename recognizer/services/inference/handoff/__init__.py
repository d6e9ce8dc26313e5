"""Prediction queue between web processes and prediction workers, on Redis lists.

Redis holds, in a database number of its own:

    queue            list of submission ids, each with the name of its reply list if a request waits for the result
    previews         list of unsaved images to predict; read only while the queue is empty, dropped when stale
    shifts           sorted set, token -> end of lease: worker sessions that run or have been started
    workers          sorted set, worker -> expiry of its heartbeat
    replies:<token>  reply list of one process; each item begins with the submission id or preview key
    tally            counters of the workers (inference.tally)
    `canaries`       last liveness probe of each Celery queue (ops.liveness, over the same connection)
    asked:<minute>:… rate limit counters of a minute (identity.throttling, over the same connection)

Redis only carries notifications. The pending row in the database is authoritative, and `recovery` finds the rows that
are lost here. `asking` is the producer side, used by web requests; `replies` correlates results with waiting threads.
`serving` is the consumer side; only worker sessions import it because it needs NumPy.
"""

from .asking import prepare, preview, push, ring, wait_for, wait_for_all, wait_in_slot, wait_slots, worker_alive
from .connection import HandoffError, link

__all__ = [
    "HandoffError",
    "link",
    "prepare",
    "preview",
    "push",
    "ring",
    "wait_for",
    "wait_for_all",
    "wait_in_slot",
    "wait_slots",
    "worker_alive",
]
