"""Temporary files for downloads, and how many are made at once."""

import tempfile
from typing import IO

from django.conf import settings

from .fair_slots import FairSlots

# Downloads that each process makes at once; of one caller it is one, and the next waits. Each holds a thread.
MAX_AT_ONCE, MAX_WAITING, WAIT_SECONDS = 2, 6, 20


def anonymous_file() -> IO[bytes]:
    """Open an empty file that closing deletes, and the end of the process too."""
    # Beside the data: the system's own folder for such files may be in memory.
    return tempfile.TemporaryFile(dir=settings.DATA_DIR)


def slots(busy: str) -> FairSlots:
    """Return a pool of slots for those who make such files, each waited for WAIT_SECONDS.

    Args:
        busy: the message for a caller who finds none in time.
    """
    return FairSlots(MAX_AT_ONCE, max_waiting=MAX_WAITING, busy=busy)
