"""Plots of a model version as PNG: learning curves, confusion matrix, reliability diagram.

A subprocess draws them, because Matplotlib would increase the memory of every web process by a third.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from recognizer.models import ModelVersion

PLOTS = ("curves", "confusion_matrix", "reliability")
PLOT_TIMEOUT_SECONDS = 60


class PlotError(RuntimeError):
    """The plot could not be drawn; the message says why."""


def names(version: ModelVersion) -> list[str]:
    """Return the names of the plots for which the version has data."""
    return [name for name in PLOTS if _plot_data(version, name)]


def render_png(version: ModelVersion, name: str) -> bytes:
    """Draw a plot.

    Args:
        version: the version.
        name: one of `names(version)`.

    Returns:
        The PNG file.

    Raises:
        PlotError: the subprocess failed or took too long.
    """
    command = [sys.executable, "-m", "ml.evaluation.plots", name]
    data = json.dumps(_plot_data(version, name)).encode()
    try:
        process = subprocess.run(
            command, input=data, capture_output=True, cwd=settings.BASE_DIR, timeout=PLOT_TIMEOUT_SECONDS, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise PlotError(
            f"The plot was not drawn within {PLOT_TIMEOUT_SECONDS} s: the machine is busy. Try again."
        ) from error
    except subprocess.CalledProcessError as error:
        raise PlotError(f"The plot could not be drawn: {error.stderr.decode(errors='replace')[-500:]}") from error
    return process.stdout


def _plot_data(version: ModelVersion, name: str) -> object:
    """Return the input of `ml.evaluation.plots` for a plot; empty if the version has no data for it."""
    sets = version.metrics.get("sets", {})
    if name == "curves":
        return version.history
    if name == "confusion_matrix":
        return sets.get("test", {}).get("confusion")
    titles = {"test": "MNIST test", "distorted": "distorted validation"}
    return {title: sets[key]["reliability"] for key, title in titles.items() if sets.get(key, {}).get("reliability")}
