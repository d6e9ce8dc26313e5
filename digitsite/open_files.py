"""The limit of open files, which each process inherits from the one that starts it."""

import contextlib
import resource

# Linux allows no process more by default; some containers allow a billion, which programs with a table of all files
# would pay for.
MAX_OPEN_FILES = 1_048_576
# What macOS allows where it says that there is no limit.
MAX_OPEN_FILES_MACOS = 10_240


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one: each connection is one. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    for limit in (allowed, min(allowed, MAX_OPEN_FILES_MACOS)):
        if soft == resource.RLIM_INFINITY or limit <= soft:
            break
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
