"""The hand-off: how an accepted submission gets to a prediction worker and its answer back. All over Redis lists.

Redis holds, in a database number of its own:

    queue            list of submission ids, each with the list on which its answer is waited for, if it is
    previews         list of pictures being drawn; served only while the queue is empty, dropped when they get old
    shifts           sorted set, token -> end of its lease: the shifts that serve, or were called for
    workers          sorted set, worker -> end of its heartbeat's life
    replies:<token>  list of the answers to one process, each after the id (or a preview's key) that it belongs to
    asked:<minute>:… how often somebody asked in this minute (services.identity.throttling, over the same link)

All of it are bells. The truth is the pending row in the database: whatever is lost here, the sweeper makes good.
`asking` is the side of web requests and whoever else calls a worker; in `replies` they wait. `serving`, the worker's
side, is imported by shifts alone: it needs NumPy.
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
