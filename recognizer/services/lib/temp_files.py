"""Temporary files for downloads, and the pool of slots that limits how many are written at once."""

import tempfile
from typing import IO

from django.conf import settings

from .fair_slots import FairSlots

# Downloads that each process writes at once; one caller may write one at a time. Each occupies a thread.
MAX_AT_ONCE, MAX_WAITING, WAIT_SECONDS = 2, 6, 20


def anonymous_file() -> IO[bytes]:
    """Open an empty file without a name; it is deleted when it is closed or the process ends."""
    # In DATA_DIR, because the system's folder for temporary files may be in memory.
    return tempfile.TemporaryFile(dir=settings.DATA_DIR)


def slots(busy: str) -> FairSlots:
    """Return a pool of slots for writing temporary files. Callers wait for a slot for up to WAIT_SECONDS.

    Args:
        busy: the message for a caller that gets no slot in time.
    """
    return FairSlots(MAX_AT_ONCE, max_waiting=MAX_WAITING, busy=busy)
