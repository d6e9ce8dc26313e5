"""Command line of the supervisor: `python -m digitsite.supervisor`."""

import sys

from django.core.exceptions import ImproperlyConfigured

from . import options
from .options import StartError
from .supervisor import Supervisor


def main() -> int:
    """Run the supervisor until it is stopped; return the exit status."""
    try:
        return Supervisor(options.read()).run()
    except (StartError, ImproperlyConfigured) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
