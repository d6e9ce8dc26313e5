"""The limit of open files of a process (RLIMIT_NOFILE)."""

import contextlib
import resource

# Enough for every use here. Some systems allow a billion, and programs that close all descriptors would take minutes.
WANTED = 65_536


def raise_limit() -> int:
    """Raise the soft limit towards the hard one; return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return WANTED if soft == resource.RLIM_INFINITY else soft
    with contextlib.suppress(OSError, ValueError):  # macOS refuses more than kern.maxfilesperproc
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
