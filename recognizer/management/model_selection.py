"""Which model a command asks: the shipped one, a bundle in a file, or the one that the site serves now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

if TYPE_CHECKING:
    from ml.serving.classifier import Classifier


def add_model_arguments(parser: CommandParser) -> None:
    """The options `--bundle FILE` and `--live`."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--bundle", type=Path, metavar="FILE", help="the serving bundle of another model; default: the shipped one"
    )
    which.add_argument("--live", action="store_true", help="ask the version that the site serves now")


def chosen_classifier(options: Mapping[str, object]) -> Classifier:
    """The classifier that the options name.

    Raises:
        CommandError: it cannot be had; one sentence says why.
    """
    from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE, BundleError
    from ml.serving.classifier import load_classifier
    from recognizer.services.registry import versions

    try:
        if options["live"]:
            return versions.classifier_of(versions.live_version())
        return load_classifier((options["bundle"] or BASE_FOLDER / BUNDLE_FILE).read_bytes())
    except DatabaseError as error:
        raise CommandError(f"The site's database cannot be read ({error}). Run `make run` once to make it.") from error
    except (BundleError, versions.RegistryError, OSError) as error:
        raise CommandError(str(error)) from error
