"""Charts as SVG, drawn by the server: no script, no library, readable without colour (dashes, marks and words)."""

from collections.abc import Mapping, Sequence

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 28


@register.simple_tag
def curves(history: Mapping[str, Sequence[float]] | None) -> SafeString:
    """Accuracy and loss per epoch, training (solid, dots) and validation (dashed, squares). Nothing without epochs."""
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
    room = (high - low) * 0.08 or 0.01
    low, high = max(0.0, low - room), high + room
    if title == "Accuracy":
        high = min(high, 1.0)

    def place(epoch: int, value: float) -> tuple[float, float]:
        share = epoch / max(len(training) - 1, 1) if len(training) > 1 else 0.5
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        return round(x, 1), round(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    lines = [
        _line([place(i, value) for i, value in enumerate(row)], name)
        for row, name in ((training, "training"), (validation, "validation"))
    ]
    words = f"{title} after {len(training)} epochs: training {training[-1]:.4f}, validation {validation[-1]:.4f}"
    return format_html(
        '<figure class="chart"><figcaption>{}</figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>'
        '<p class="legend"><span class="legend-training">training</span> '
        '<span class="legend-validation">validation</span></p></figure>',
        title, WIDTH, HEIGHT, words, _scale(low, high), _epochs(len(training), place), SafeString("".join(lines)),
    )  # fmt: skip


def _line(points: list[tuple[float, float]], name: str) -> SafeString:
    path = " ".join(f"{x},{y}" for x, y in points)
    marks = format_html_join(
        "",
        '<circle cx="{}" cy="{}" r="2.5" />'
        if name == "training"
        else '<rect x="{}" y="{}" width="5" height="5" transform="translate(-2.5 -2.5)" />',
        points if len(points) <= 30 else points[-1:],
    )
    return format_html('<g class="chart-{}"><polyline points="{}" />{}</g>', name, path, marks)


def _scale(low: float, high: float) -> SafeString:
    rows = []
    for step in range(4):
        value = high - (high - low) * step / 3
        y = round(TOP + step / 3 * (HEIGHT - TOP - BOTTOM), 1)
        rows.append((LEFT, y, WIDTH - RIGHT, y, LEFT - 6, y + 3.5, f"{value:.3f}"))
    return format_html_join(
        "",
        '<line class="chart-grid" x1="{}" y1="{}" x2="{}" y2="{}" /><text class="chart-left" x="{}" y="{}">{}</text>',
        rows,
    )


def _epochs(count: int, place: object) -> SafeString:
    chosen = sorted({0, count // 2, count - 1})
    rows = [(place(i, 0)[0], HEIGHT - 8, f"epoch {i + 1}" if i == 0 else i + 1) for i in chosen]
    return format_html_join("", '<text class="chart-below" x="{}" y="{}">{}</text>', rows)


@register.simple_tag
def reliability(bins: Sequence[Mapping[str, float]] | None) -> SafeString:
    """Certainty against accuracy; on the dashed line the model is as often right as it says."""
    if not bins:
        return SafeString("")

    def place(certainty: float, accuracy: float) -> tuple[float, float]:
        x = LEFT + certainty * (WIDTH - LEFT - RIGHT)
        return round(x, 1), round(TOP + (1 - accuracy) * (HEIGHT - TOP - BOTTOM), 1)

    total = sum(row["n"] for row in bins)
    dots = format_html_join(
        "",
        '<circle cx="{}" cy="{}" r="{}"><title>{}</title></circle>',
        (
            (
                *place(row["certainty"], row["accuracy"]),
                round(2.5 + 7 * (row["n"] / total) ** 0.5, 1),
                f"{row['n']:.0f} pictures, certain {row['certainty']:.1%}, right {row['accuracy']:.1%}",
            )
            for row in bins
        ),
    )
    (x1, y1), (x2, y2) = place(0, 0), place(1, 1)
    return format_html(
        '<figure class="chart"><figcaption>Reliability</figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="How often answers of each certainty were right">'
        '{}<line class="chart-ideal" x1="{}" y1="{}" x2="{}" y2="{}" /><g class="chart-dots">{}</g>'
        '<text class="chart-below" x="{}" y="{}">certainty</text></svg></figure>',
        WIDTH, HEIGHT, _scale(0, 1), x1, y1, x2, y2, dots, WIDTH / 2, HEIGHT - 8,
    )  # fmt: skip


@register.filter
def points(change: float | None) -> str:
    """A change in percentage points, with its sign: +0.42."""
    return "" if change is None else f"{change:+.2f}".replace("-", "−")


@register.filter
def exact(share: float | None) -> str:
    """0.99403 → 99.40 %: two decimals, for versions differ in the second one."""
    return "–" if share is None else f"{share * 100:.2f}\u00a0%"
