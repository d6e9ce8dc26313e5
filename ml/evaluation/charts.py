"""Charts as SVG: learning curves, reliability diagram, confusion matrix, shares with intervals, and counts.

Plain functions that return an `<svg>` element for a page; `to_file` makes a file of it. The charts are readable without
colour: series differ in dashes and markers, and every value is also text. The page's style sheet has the colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml.evaluation.model_metrics import ReliabilityBin, SetMetrics

# Style of a chart in a file of its own, by the classes of the page's style sheet (charts.css).
FILE_STYLE = (
    "<style>text{font:11px sans-serif;fill:#444}.chart-left{text-anchor:end}.chart-below{text-anchor:middle}"
    "polyline{fill:none;stroke-width:2}.chart-grid{stroke:#ddd}.chart-ideal{stroke:#999;stroke-dasharray:4 4}"
    ".chart-first{fill:#444;stroke:#444}.chart-second{fill:#6b2fa0;stroke:#6b2fa0}.chart-second polyline"
    "{stroke-dasharray:6 3}.chart-cell{fill:#6b2fa0}.chart-cell-text{fill:#fff}</style>"
)
SERIES_CLASSES = ("chart-first", "chart-second")
# More labels would overlap on the x axis of a wide chart.
MAX_AXIS_LABELS = 10
# Longer lines have a marker at their last point only.
MAX_MARKERS = 30


class Share(NamedTuple):
    """A share of correct cases with its confidence interval; `text` describes it."""

    label: str
    share: float
    interval: tuple[float, float]
    text: str


@dataclass(frozen=True, slots=True)
class Frame:
    """Size and margins of a chart, in units of its view box, and the range of its y axis."""

    low: float = 0.0
    high: float = 1.0
    width: int = 320
    height: int = 200
    left: int = 44
    right: int = 12
    top: int = 24
    bottom: int = 28

    def x(self, share: float) -> float:
        """Return the x coordinate at `share` (0 to 1) of the plot's width."""
        return round(self.left + share * (self.width - self.left - self.right), 1)

    def y(self, value: float) -> float:
        """Return the y coordinate of `value`."""
        share = (self.high - value) / ((self.high - self.low) or 1)
        return round(self.top + (self.height - self.top - self.bottom) * share, 1)

    def columns(self, count: int) -> list[float]:
        """Return the x coordinates of the centers of `count` columns of equal width."""
        return [self.x((number + 0.5) / count) for number in range(count)]

    def svg(self, title: str, *parts: str, css: str = "chart") -> str:
        """Return the element with a title for screen readers."""
        view_box = f"0 0 {self.width} {self.height}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="{css}" viewBox="{view_box}" role="img" '
            f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
        )

    def scale(self, labels: Iterable[tuple[float, str]]) -> str:
        """Return lines across the chart at the given values, with their labels."""
        return "".join(
            f'<line class="chart-grid" x1="{self.left}" x2="{self.width - self.right}" y1="{y}" y2="{y}" />'
            + _text(self.left - 6, y + 4, label, "chart-left")
            for y, label in ((self.y(value), label) for value, label in labels)
        )


def to_file(svg: str) -> str:
    """Return a chart as a file that needs no style sheet."""
    start = svg.index(">") + 1
    return svg[:start] + FILE_STYLE + svg[start:] + "\n"


def training_charts(history: Mapping[str, Sequence[float]], sets: Mapping[str, SetMetrics]) -> dict[str, str]:
    """Return the charts of a trained model for which there are data, by name.

    Args:
        history: metrics of each epoch, see `ml.training.loop.fit`.
        sets: metrics by evaluation set.
    """
    charts = learning_curves(history)
    if "confusion" in sets.get("test", {}):
        charts["confusion_matrix"] = confusion_chart("MNIST test set", sets["test"]["confusion"])
    titles = {"test": "MNIST test", "distorted": "distorted validation"}
    tables = {title: sets[name]["reliability"] for name, title in titles.items() if "reliability" in sets.get(name, {})}
    if tables:
        charts["reliability"] = reliability_chart(tables)
    return charts


def learning_curves(history: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Return the charts "accuracy" and "loss" of training and validation by epoch; none without an epoch."""
    if not history.get("loss"):
        return {}
    return {
        name: _line_chart(title, {"training": history[name], "validation": history[f"val_{name}"]}, highest)
        for name, title, highest in (("accuracy", "Accuracy", 1.0), ("loss", "Loss", None))
    }


def _line_chart(title: str, series: Mapping[str, Sequence[float]], highest: float | None) -> str:
    values = [value for row in series.values() for value in row]
    count = max(map(len, series.values()))
    margin = (max(values) - min(values)) * 0.08 or 0.01
    high = max(values) + margin
    frame = Frame(max(0.0, min(values) - margin), high if highest is None else min(high, highest))
    positions = [frame.x(epoch / (count - 1) if count > 1 else 0.5) for epoch in range(count)]
    lines = [
        _series([(x, frame.y(value)) for x, value in zip(positions, row, strict=False)], css)
        for row, css in zip(series.values(), SERIES_CLASSES, strict=True)
    ]
    epochs = [
        _text(positions[epoch], frame.height - 8, f"epoch {epoch + 1}" if epoch == 0 else str(epoch + 1), "chart-below")
        for epoch in sorted({0, count // 2, count - 1})
    ]
    last = ", ".join(f"{name} {row[-1]:.4f}" for name, row in series.items())
    return frame.svg(
        f"{title} after {count} epochs: {last}", _title(title, series), _decimal_scale(frame), *epochs, *lines
    )


def reliability_chart(tables: Mapping[str, Sequence[ReliabilityBin]]) -> str:
    """Return a reliability diagram: accuracy against certainty, with a dashed diagonal for perfect calibration.

    Args:
        tables: the reliability table of each set; the area of a marker grows with the number of images.
    """
    frame = Frame()
    parts = [
        _title("Reliability", tables),
        _decimal_scale(frame),
        f'<line class="chart-ideal" x1="{frame.x(0)}" y1="{frame.y(0)}" x2="{frame.x(1)}" y2="{frame.y(1)}" />',
        _text(frame.x(0.5), frame.height - 8, "certainty", "chart-below"),
    ]
    for (name, table), css in zip(tables.items(), SERIES_CLASSES, strict=False):
        total = sum(row["n"] for row in table)
        for row in table:
            note = f"{name}: {row['n']} pictures, certain {row['certainty']:.1%}, right {row['accuracy']:.1%}"
            radius = round(2.5 + 7 * (row["n"] / total) ** 0.5, 1)
            parts.append(_marker(frame.x(row["certainty"]), frame.y(row["accuracy"]), css, radius, note))
    return frame.svg("How often answers of each certainty were right", *parts)


def confusion_chart(title: str, matrix: Sequence[Sequence[int]]) -> str:
    """Return a confusion matrix. The shade is the share of the row, on a root scale that makes errors visible.

    Args:
        title: name of the evaluation set.
        matrix: 10 rows (true digits) of 10 counts (predicted digits).
    """
    frame = Frame(0, 10, width=320, height=320)
    side = frame.x(0.1) - frame.x(0)
    parts = [_text(0, 14, f"{title}: true digit down, predicted digit across", "chart-title")]
    for true, row in enumerate(matrix):
        y = frame.y(9.5 - true) + 4
        parts += [_text(frame.left - 8, y, str(true), "chart-left"), _text(frame.columns(10)[true], 312, str(true))]
        for x, count in zip(frame.columns(10), row, strict=True):
            shade = (count / sum(row)) ** 0.35 if count else 0
            css = "chart-below chart-cell-text" if shade > 0.6 else "chart-below"
            parts.append(
                f'<rect class="chart-cell" x="{x - side / 2:.1f}" y="{frame.y(10 - true)}" width="{side:.1f}" '
                f'height="{frame.y(0) - frame.y(1):.1f}" fill-opacity="{shade:.2f}" />'
                + (_text(x, y, str(count), css) if count else "")
            )
    right = sum(matrix[digit][digit] for digit in range(10))
    return frame.svg(f"Confusion matrix of the {title}: {right} of {sum(map(sum, matrix))} right", *parts)


def share_chart(title: str, shares: Sequence[Share]) -> str:
    """Return shares with whiskers for their intervals. The axis starts at the lowest interval, rounded down to 5 %."""
    low = int(min((share.interval[0] for share in shares), default=0) * 20) / 20
    frame = _wide_frame(low, 1)
    columns = frame.columns(len(shares))
    points = [(x, frame.y(share.share)) for x, share in zip(columns, shares, strict=True)]
    line = f'<polyline class="chart-line" points="{" ".join(f"{x},{y}" for x, y in points)}" />'
    marks = [
        f'<line class="chart-whisker" x1="{x}" x2="{x}" y1="{frame.y(share.interval[1])}" '
        f'y2="{frame.y(share.interval[0])}" />' + _marker(x, y, "chart-dot", 4, share.text)
        for (x, y), share in zip(points, shares, strict=True)
    ]
    scale = frame.scale((value, f"{value:.0%}") for value in (low, (low + 1) / 2, 1))
    labels = _axis_labels(frame, [share.label for share in shares])
    return frame.svg(title, scale, line, *marks, labels, css="chart chart-wide")


def count_chart(title: str, counts: Sequence[tuple[str, int]]) -> str:
    """Return a bar for each label and count."""
    highest = max((count for _, count in counts), default=0) or 1
    frame = _wide_frame(0, highest)
    width = (frame.x(1) - frame.x(0)) / max(len(counts), 1) * 0.8
    bars = [
        f'<rect class="chart-bar" x="{x - width / 2:.1f}" y="{frame.y(count)}" width="{width:.1f}" '
        f'height="{frame.y(0) - frame.y(count):.1f}"><title>{escape(label)}: {count}</title></rect>'
        for x, (label, count) in zip(frame.columns(len(counts)), counts, strict=True)
    ]
    scale = frame.scale((value, str(value)) for value in (0, highest))
    labels = _axis_labels(frame, [label for label, _ in counts])
    return frame.svg(title, scale, *bars, labels, css="chart chart-wide")


def _wide_frame(low: float, high: float) -> Frame:
    return Frame(low, high, width=640, height=180, left=52, top=12, bottom=26)


def _title(title: str, series: Iterable[str]) -> str:
    """Return the title and the legend, in one line above the chart."""
    legend = ", ".join(f"{mark} {name}" for mark, name in zip("●■", series, strict=False))
    return _text(0, 14, f"{title}: {legend}", "chart-title")


def _series(points: Sequence[tuple[float, float]], css: str) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    markers = [_marker(x, y, css) for x, y in (points if len(points) <= MAX_MARKERS else points[-1:])]
    return f'<g class="{css}"><polyline points="{path}" />{"".join(markers)}</g>'


def _marker(x: float, y: float, css: str, radius: float = 2.5, note: str = "") -> str:
    """Return a dot, or a square for the second series, with a tooltip."""
    title = f"<title>{escape(note)}</title>" if note else ""
    if css == SERIES_CLASSES[1]:
        side = 2 * radius
        corner = f'x="{x - radius:.1f}" y="{y - radius:.1f}"'
        return f'<rect class="{css}" {corner} width="{side}" height="{side}">{title}</rect>'
    return f'<circle class="{css}" cx="{x}" cy="{y}" r="{radius}">{title}</circle>'


def _decimal_scale(frame: Frame) -> str:
    values = [frame.high - (frame.high - frame.low) * step / 3 for step in range(4)]
    return frame.scale((value, f"{value:.3f}") for value in values)


def _axis_labels(frame: Frame, labels: Sequence[str]) -> str:
    """Return every n-th label below its column. On phones every second of them is hidden."""
    step = max(1, -(-len(labels) // MAX_AXIS_LABELS))
    shown = list(zip(frame.columns(len(labels)), labels, strict=True))[::step]
    return "".join(
        _text(x, frame.height - 6, label, "chart-below is-second" if number % 2 else "chart-below")
        for number, (x, label) in enumerate(shown)
    )


def _text(x: float, y: float, text: str, css: str = "chart-below") -> str:
    return f'<text class="{css}" x="{x}" y="{y:.1f}">{escape(text)}</text>'
