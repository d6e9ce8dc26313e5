"""Files without a name beside the data, through which goes whatever is made to be taken away, one at a time.

Called by services.exports and services.privacy.
"""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from django.conf import settings

from .errors import BusyError


def nameless() -> IO[bytes]:
    """An open, empty file that closing deletes, and the end of the process too."""
    # Beside the data: the system's own folder for such files may be in memory.
    return tempfile.TemporaryFile(dir=settings.DATA_DIR)


class Place:
    """Room for one who makes such a file, of each process. Thread-safe.

    Args:
        busy: what whoever comes meanwhile is told.
    """

    def __init__(self, busy: str) -> None:
        self._busy = busy
        self._free = threading.Semaphore()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the place while the context lasts.

        Raises:
            BusyError: somebody has it.
        """
        if not self._free.acquire(blocking=False):
            raise BusyError(self._busy)
        try:
            yield
        finally:
            self._free.release()
