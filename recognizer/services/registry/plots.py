"""The plots of a model version as PNG: curves, confusion matrix, reliability.

A process of its own draws them: Matplotlib would add a third to the memory of every web process, for good.
"""

from __future__ import annotations

import json
import subprocess
import sys

from django.conf import settings

from recognizer.models import ModelVersion

PLOTS = ("curves", "confusion_matrix", "reliability")
PLOT_TIMEOUT_SECONDS = 60


class PlotError(RuntimeError):
    """The plot could not be drawn; the message says why."""


def names(version: ModelVersion) -> list[str]:
    """The plots for which this version has the figures."""
    return [name for name in PLOTS if _figures(version, name)]


def render_png(version: ModelVersion, name: str) -> bytes:
    """Draw one of `names(version)`.

    Raises:
        PlotError: the process that draws failed or took too long.
    """
    command = [sys.executable, "-m", "ml.evaluation.plots", name]
    given = json.dumps(_figures(version, name)).encode()
    try:
        drawn = subprocess.run(
            command, input=given, capture_output=True, cwd=settings.BASE_DIR, timeout=PLOT_TIMEOUT_SECONDS, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise PlotError(
            f"The plot was not drawn within {PLOT_TIMEOUT_SECONDS} s: the machine is busy. Try again."
        ) from error
    except subprocess.CalledProcessError as error:
        raise PlotError(f"The plot could not be drawn: {error.stderr.decode(errors='replace')[-500:]}") from error
    return drawn.stdout


def _figures(version: ModelVersion, name: str) -> object:
    """What `ml.evaluation.plots` draws `name` from; empty where the version lacks it."""
    sets = version.metrics.get("sets", {})
    if name == "curves":
        return version.history
    if name == "confusion_matrix":
        return sets.get("test", {}).get("confusion")
    titles = {"test": "MNIST test", "distorted": "distorted validation"}
    return {title: sets[key]["reliability"] for key, title in titles.items() if sets.get(key, {}).get("reliability")}
