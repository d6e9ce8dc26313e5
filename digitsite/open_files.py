"""The limit of open files, which child processes inherit."""

import contextlib
import resource

# Linux's default for the hard limit's maximum (fs.nr_open). Some containers allow a billion, which is expensive for
# programs that allocate a table of all descriptors.
MAX_OPEN_FILES = 1_048_576
# The maximum that macOS accepts although it reports no limit.
MAX_OPEN_FILES_MACOS = 10_240


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard limit, because each connection needs a file descriptor.

    Returns:
        The soft limit afterwards.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    for limit in (allowed, min(allowed, MAX_OPEN_FILES_MACOS)):
        if soft == resource.RLIM_INFINITY or limit <= soft:
            break
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
