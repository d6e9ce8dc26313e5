"""Charts as server-rendered SVG.

They need no script and no library, and are readable without colour: lines differ in dashes and markers, and every value
is written out as text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from recognizer.services.review.statistics import AccuracyShare

register = template.Library()

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """Size and margins of a chart, in units of its view box."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def x(self, share: float) -> float:
        """Return the x coordinate at `share` (0 to 1) of the plot's width."""
        return self.left + share * (self.width - self.left - self.right)

    def y(self, value: float, low: float, high: float) -> float:
        """Return the y coordinate of `value` on an axis from `low` to `high`."""
        return self.top + (self.height - self.top - self.bottom) * (high - value) / ((high - low) or 1)

    def column_centers(self, count: int) -> list[float]:
        """Return the x coordinates of the centers of `count` columns of equal width."""
        return [self.x((number + 0.5) / count) for number in range(count)]


SMALL = Frame(width=320, height=200, left=44, right=12, top=12, bottom=28)
WIDE = Frame(width=640, height=180, left=52, right=12, top=12, bottom=26)
# More labels would overlap on the x axis of a wide chart.
MAX_AXIS_LABELS = 10
# Longer curves have a marker at their last point only.
MAX_MARKERS = 30


@register.simple_tag
def curves(history: Mapping[str, Sequence[float]] | None) -> SafeString:
    """Render accuracy and loss per epoch: training (solid, dots) and validation (dashed, squares).

    Returns:
        Two figures, or "" if `history` has no epochs.
    """
    if not history or not history.get("loss"):
        return SafeString("")
    return format_html(
        '<div class="charts">{}{}</div>',
        _curve("Accuracy", history.get("accuracy", ()), history.get("val_accuracy", ())),
        _curve("Loss", history.get("loss", ()), history.get("val_loss", ())),
    )


def _curve(title: str, training: Sequence[float], validation: Sequence[float]) -> SafeString:
    values = [*training, *validation]
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or 0.01
    low, high = max(0.0, low - margin), high + margin
    if title == "Accuracy":
        high = min(high, 1.0)
    count = len(training)

    def epoch_x(epoch: int) -> float:
        return round(SMALL.x(epoch / (count - 1) if count > 1 else 0.5), 1)

    lines = [
        _line([(epoch_x(i), round(SMALL.y(value, low, high), 1)) for i, value in enumerate(row)], name)
        for row, name in ((training, "training"), (validation, "validation"))
    ]
    text = f"{title} after {count} epochs: training {training[-1]:.4f}, validation {validation[-1]:.4f}"
    epochs = [(epoch, epoch_x(epoch)) for epoch in sorted({0, count // 2, count - 1})]
    return format_html(
        '<figure class="chart"><figcaption>{}</figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>'
        '<p class="legend"><span class="legend-training">training</span> '
        '<span class="legend-validation">validation</span></p></figure>',
        title, SMALL.width, SMALL.height, text, _scale(low, high), _epoch_labels(epochs), SafeString("".join(lines)),
    )  # fmt: skip


def _line(points: list[Point], name: str) -> SafeString:
    path = " ".join(f"{x},{y}" for x, y in points)
    marks = format_html_join(
        "",
        '<circle cx="{}" cy="{}" r="2.5" />'
        if name == "training"
        else '<rect x="{}" y="{}" width="5" height="5" transform="translate(-2.5 -2.5)" />',
        points if len(points) <= MAX_MARKERS else points[-1:],
    )
    return format_html('<g class="chart-{}"><polyline points="{}" />{}</g>', name, path, marks)


def _scale(low: float, high: float) -> SafeString:
    rows = []
    for step in range(4):
        value = high - (high - low) * step / 3
        y = round(SMALL.y(value, low, high), 1)
        rows.append((SMALL.left, y, SMALL.width - SMALL.right, y, SMALL.left - 6, y + 3.5, f"{value:.3f}"))
    return format_html_join(
        "",
        '<line class="chart-grid" x1="{}" y1="{}" x2="{}" y2="{}" /><text class="chart-left" x="{}" y="{}">{}</text>',
        rows,
    )


def _epoch_labels(epochs: Sequence[tuple[int, float]]) -> SafeString:
    rows = [(x, SMALL.height - 8, f"epoch {epoch + 1}" if epoch == 0 else epoch + 1) for epoch, x in epochs]
    return format_html_join("", '<text class="chart-below" x="{}" y="{}">{}</text>', rows)


@register.simple_tag
def reliability(bins: Sequence[Mapping[str, float]] | None) -> SafeString:
    """Render a reliability diagram: accuracy against certainty, with a dashed diagonal for perfect calibration.

    Args:
        bins: `certainty` and `accuracy` (0 to 1) and the number of images `n` of each bin.
    """
    if not bins:
        return SafeString("")

    def point(certainty: float, accuracy: float) -> Point:
        return round(SMALL.x(certainty), 1), round(SMALL.y(accuracy, 0, 1), 1)

    total = sum(row["n"] for row in bins)
    dots = format_html_join(
        "",
        '<circle cx="{}" cy="{}" r="{}"><title>{}</title></circle>',
        (
            (
                *point(row["certainty"], row["accuracy"]),
                round(2.5 + 7 * (row["n"] / total) ** 0.5, 1),
                f"{row['n']:.0f} pictures, certain {row['certainty']:.1%}, right {row['accuracy']:.1%}",
            )
            for row in bins
        ),
    )
    (x1, y1), (x2, y2) = point(0, 0), point(1, 1)
    return format_html(
        '<figure class="chart"><figcaption>Reliability</figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="How often answers of each certainty were right">'
        '{}<line class="chart-ideal" x1="{}" y1="{}" x2="{}" y2="{}" /><g class="chart-dots">{}</g>'
        '<text class="chart-below" x="{}" y="{}">certainty</text></svg></figure>',
        SMALL.width, SMALL.height, _scale(0, 1), x1, y1, x2, y2, dots, SMALL.width / 2, SMALL.height - 8,
    )  # fmt: skip


@register.inclusion_tag("recognizer/parts/chart_shares.html")
def share_chart(shares: Sequence[AccuracyShare], title: str) -> dict[str, object]:
    """Render shares with confidence intervals. The y axis starts at the lowest interval, rounded down to 5 %."""
    lowest = min((share.interval[0] for share in shares), default=0)
    bottom = max(0.0, int(lowest * 20) / 20)
    points: list[dict[str, object]] = []
    path = []
    for x, share in zip(WIDE.column_centers(len(shares)), shares, strict=True):
        low, high = share.interval
        y = WIDE.y(share.share, bottom, 1)
        path.append(f"{x:.1f},{y:.1f}")
        points.append(
            {
                "x": x,
                "y": y,
                "low": WIDE.y(low, bottom, 1),
                "high": WIDE.y(high, bottom, 1),
                "share": share,
                "label": _axis_label(share.name),
            }
        )
    return _context(title, points) | {
        "points": points,
        "line": " ".join(path),
        "ticks": [{"y": WIDE.y(value, bottom, 1), "share": value} for value in (bottom, (bottom + 1) / 2, 1)],
    }


@register.inclusion_tag("recognizer/parts/chart_counts.html")
def count_chart(counts: Sequence[tuple[date, int]], title: str) -> dict[str, object]:
    """Render a bar for each day."""
    highest = max((count for _, count in counts), default=0) or 1
    width = WIDE.x(1 / max(len(counts), 1)) - WIDE.x(0)
    bars: list[dict[str, object]] = []
    for x, (day, count) in zip(WIDE.column_centers(len(counts)), counts, strict=True):
        y = WIDE.y(count, 0, highest)
        bars.append(
            {
                "x": x,
                "left": x - width * 0.4,
                "width": width * 0.8,
                "y": y,
                "height": WIDE.height - WIDE.bottom - y,
                "count": count,
                "label": _axis_label(day),
            }
        )
    ticks = [{"y": WIDE.y(count, 0, highest), "count": count} for count in (0, highest)]
    return _context(title, bars) | {"bars": bars, "ticks": ticks}


def _context(title: str, columns: Sequence[dict[str, object]]) -> dict[str, object]:
    step = max(1, -(-len(columns) // MAX_AXIS_LABELS))
    return {
        "title": title,
        "width": WIDE.width,
        "height": WIDE.height,
        "left": WIDE.left,
        "right": WIDE.width - WIDE.right,
        "tick_x": WIDE.left - 8,
        "label_y": WIDE.height - 6,
        "labels": columns[::step],
    }


def _axis_label(name: object) -> str:
    return name.strftime("%-d %b") if isinstance(name, date) else str(name)
