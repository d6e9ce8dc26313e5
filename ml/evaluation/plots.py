"""Plots of a training: learning curves, confusion matrix, reliability diagram.

They do not use pyplot, so they need no window system and no global state. Run as a command, this module draws one plot
for the Models page, so that no long-running process has to import Matplotlib:

    python -m ml.evaluation.plots curves < history.json > curves.png
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TRAINING, VALIDATION = "#2563eb", "#d97706"


def save_curves(history: Mapping[str, Sequence[float]], path: Path | BinaryIO) -> None:
    """Plot accuracy and loss per epoch, for training and validation."""
    figure = _figure(10, 4)
    epochs = range(1, len(history["loss"]) + 1)
    for axes, key, title in zip(figure.subplots(1, 2), ("accuracy", "loss"), ("Accuracy", "Loss"), strict=True):
        axes.plot(epochs, history[key], color=TRAINING, marker=".", label="training")
        axes.plot(epochs, history[f"val_{key}"], color=VALIDATION, marker=".", label="validation")
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, path)


def save_confusion(matrix: Sequence[Sequence[int]], path: Path | BinaryIO, title: str = "MNIST test set") -> None:
    """Plot a confusion matrix. The shade is the share of the row, on a root scale that makes errors visible."""
    figure = _figure(6.4, 6)
    axes = figure.subplots()
    shares = [[(count / max(sum(row), 1)) ** 0.35 for count in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for true, row in enumerate(matrix):
        for predicted, count in enumerate(row):
            if count:
                colour = "white" if shares[true][predicted] > 0.6 else "black"
                axes.text(predicted, true, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set(title=title, xlabel="predicted", ylabel="true", xticks=range(10), yticks=range(10))
    _save(figure, path)


def save_reliability(tables: Mapping[str, Sequence[Mapping[str, float]]], path: Path | BinaryIO) -> None:
    """Plot accuracy against certainty, one line for each set; the area of a dot grows with its number of images."""
    figure = _figure(5.5, 5)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="perfect")
    for (name, table), colour in zip(tables.items(), (TRAINING, VALIDATION, "#059669"), strict=False):
        certainty, accuracy = [row["certainty"] for row in table], [row["accuracy"] for row in table]
        total = sum(row["n"] for row in table)
        axes.plot(certainty, accuracy, color=colour, linewidth=1, label=name)
        axes.scatter(certainty, accuracy, s=[12 + 300 * row["n"] / total for row in table], color=colour, alpha=0.5)
    axes.set(title="Reliability", xlabel="certainty", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path | BinaryIO) -> None:
    # Without version metadata, the same data give the same file.
    figure.savefig(path, format="png", metadata={"Software": None})


PLOTS: dict[str, Callable[[Any, BinaryIO], None]] = {
    "curves": save_curves,
    "confusion_matrix": save_confusion,
    "reliability": save_reliability,
}


def main() -> None:
    """Read the data of a plot as JSON from standard input and write the plot as PNG to standard output."""
    PLOTS[sys.argv[1]](json.load(sys.stdin), sys.stdout.buffer)


if __name__ == "__main__":
    main()
