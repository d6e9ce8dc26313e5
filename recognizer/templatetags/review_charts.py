"""Small charts, drawn by the server as SVG. Every figure is written beside its mark, so nothing depends on colour."""

from collections.abc import Sequence
from datetime import date

from django import template

from recognizer.services.review.statistics import AccuracyShare

register = template.Library()

WIDTH, HEIGHT = 640, 180
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 26
# More labels than this below a chart would run into each other.
MAX_AXIS_LABELS = 10


@register.inclusion_tag("recognizer/parts/chart_shares.html")
def share_chart(shares: Sequence[AccuracyShare], title: str) -> dict:
    """Shares with their intervals, from left to right; the axis begins a little below the lowest interval."""
    lowest = min((one.interval[0] for one in shares), default=0)
    bottom = max(0.0, int(lowest * 20) / 20)
    points = []
    for place, one in zip(_places(len(shares)), shares, strict=True):
        low, high = one.interval
        points.append(
            {
                "x": place,
                "y": _height(one.share, bottom, 1),
                "low": _height(low, bottom, 1),
                "high": _height(high, bottom, 1),
                "one": one,
                "label": _name(one.name),
            }
        )
    return _frame(title, points) | {
        "points": points,
        "line": " ".join(f"{point['x']:.1f},{point['y']:.1f}" for point in points),
        "ticks": [{"y": _height(value, bottom, 1), "share": value} for value in (bottom, (bottom + 1) / 2, 1)],
    }


@register.inclusion_tag("recognizer/parts/chart_counts.html")
def count_chart(counts: Sequence[tuple[date, int]], title: str) -> dict:
    """One bar for each day."""
    most = max((count for _, count in counts), default=0) or 1
    width = (WIDTH - LEFT - RIGHT) / max(len(counts), 1)
    bars = []
    for place, (day, count) in zip(_places(len(counts)), counts, strict=True):
        y = _height(count, 0, most)
        bars.append(
            {
                "x": place,
                "left": place - width * 0.4,
                "width": width * 0.8,
                "y": y,
                "height": HEIGHT - BOTTOM - y,
                "count": count,
                "label": _name(day),
            }
        )
    return _frame(title, bars) | {"bars": bars, "ticks": [{"y": _height(n, 0, most), "count": n} for n in (0, most)]}


def _frame(title: str, points: Sequence[dict]) -> dict:
    step = max(1, -(-len(points) // MAX_AXIS_LABELS))
    return {
        "title": title,
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "tick_x": LEFT - 8,
        "label_y": HEIGHT - 6,
        "labels": points[::step],
    }


def _places(count: int) -> list[float]:
    """The middles of `count` equal parts of the width."""
    width = (WIDTH - LEFT - RIGHT) / max(count, 1)
    return [LEFT + width * (number + 0.5) for number in range(count)]


def _height(value: float, low: float, high: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / ((high - low) or 1)


def _name(name: object) -> str:
    return name.strftime("%-d %b") if isinstance(name, date) else str(name)
