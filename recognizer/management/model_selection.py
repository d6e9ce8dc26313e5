"""Selection of the model for a command: the shipped model, a bundle in a file, or the live version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.serving.classifier import Classifier


def add_model_arguments(parser: CommandParser) -> None:
    """Add the options `--bundle FILE` and `--live`."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--bundle", type=Path, metavar="FILE", help="serving bundle of another model; default: the shipped model"
    )
    group.add_argument("--live", action="store_true", help="use the live version of the site")


def classifier_from_options(options: Mapping[str, Any]) -> Classifier:
    """Load the classifier that the options select.

    Raises:
        CommandError: it cannot be loaded.
    """
    from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE, BundleError
    from ml.serving.classifier import load_classifier
    from recognizer.services.registry import versions

    try:
        if options["live"]:
            return versions.classifier_of(versions.live_version())
        return load_classifier((options["bundle"] or BASE_FOLDER / BUNDLE_FILE).read_bytes())
    except DatabaseError as error:
        raise CommandError(
            f"The site's database cannot be read ({error}). Run `make run` once to create it."
        ) from error
    except (BundleError, versions.RegistryError, OSError) as error:
        raise CommandError(str(error)) from error
