"""Share of one web process in the limits of the site. See docs/adr/0003-web-processes.md."""

from django.conf import settings


def per_process(total: int) -> int:
    """Return this process's share of a limit for all web processes together; at least 1, unless the limit is 0."""
    return total and max(1, total // settings.WEB_PROCESSES)
