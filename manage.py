#!/usr/bin/env python
"""Django's command line for this project: `python manage.py help` lists what it can do."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digitsite.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed here. Run `make run` once, then use `.venv/bin/python manage.py`."
        ) from error
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:  # a setting has a bad value: the one line that says so is enough
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
