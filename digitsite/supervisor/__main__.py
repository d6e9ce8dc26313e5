"""`python -m digitsite.supervisor`: start the whole site, keep it running, end it whole."""

import sys

from django.core.exceptions import ImproperlyConfigured

from . import options
from .options import StartError
from .supervisor import Supervisor


def main() -> int:
    try:
        return Supervisor(options.read()).run()
    except (StartError, ImproperlyConfigured) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
