"""Reports of `manage.py evaluate`: metrics as text, and an HTML page with every misclassified image.

The page is self-contained: images are embedded, so it can be moved or sent as one file.
"""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ml.evaluation.folder_evaluation import MAX_SMALL_SIDE, ImageResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.readings import Reading

# Long side of an image on the page, in pixels.
_THUMBNAIL_SIDE = 140
_PREPARED_SCALE = 5

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
  body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }}
  pre {{ overflow-x: auto; }}
  ul {{ list-style: none; padding: 0; display: grid; gap: 1rem;
    grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }}
  li {{ border: 1px solid #bbb; border-radius: 6px; padding: .75rem; overflow-wrap: anywhere; }}
  img {{ image-rendering: pixelated; vertical-align: top; margin-right: .5rem; max-width: 140px; background: #e6d9f2; }}
  figure {{ display: inline-block; margin: 0 .5rem 0 0; }}
  figcaption {{ font-size: .85em; }}
  .chosen figcaption {{ font-weight: bold; }}
  p {{ margin: .5rem 0 0; }}
</style>
<h1>{title}</h1>
<pre>{figures}</pre>
<h2>{count}</h2>
<ul>
{misses}
</ul>
</html>
"""


def describe(summary: Mapping[str, Any]) -> str:
    """Return the metrics of `ml.evaluation.folder_evaluation.ResultSummary.summary` as plain text."""
    lines = [f"images              {summary['n']}", _accuracy_line("accuracy", summary)]
    if len(summary["by_source"]) > 1:
        mean = summary["mean_over_sources"]
        lines.append(f"mean over sources   {_percent(mean)}  ({len(summary['by_source'])} sources)")
    names = {"small": f"up to {MAX_SMALL_SIDE} px", "larger": "larger"}
    lines.extend(_accuracy_line(names[size], row) for size, row in summary["by_size"].items() if row["n"])
    low, high = summary["sure_interval"]
    lines.append(
        f"sure                {_percent(summary['sure_share'])} of all; of these right "
        f"{_percent(summary['sure_accuracy'])} ({low:.1%} to {high:.1%})"
    )
    for verdict, row in summary["verdicts"].items():
        lines.append(f"  {verdict:<18}{row['n']:>6}  {_percent(row['share'])}")
    lines.extend(["", *_confusion_lines(summary["confusion"])])
    lines.extend(f"unreadable: {row['file']}: {row['error']}" for row in summary["unreadable"])
    return "\n".join(lines)


def _accuracy_line(name: str, row: Mapping[str, Any]) -> str:
    low, high = row["interval"]
    return f"{name:<20}{_percent(row['accuracy'])}  ({row['correct']} of {row['n']}; 95 %: {low:.1%} to {high:.1%})"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _confusion_lines(table: Mapping[str, Any]) -> list[str]:
    lines = ["truth \\ guess" + "".join(f"{column:>6}" for column in table["columns"])]
    for row, counts in zip(table["rows"], table["counts"], strict=True):
        if any(counts):
            lines.append(f"{row:<13}" + "".join(f"{count or '·':>6}" for count in counts))
    return lines


def render_page(title: str, summary: Mapping[str, Any], cards: list[str]) -> str:
    """Render the page.

    Args:
        title: title of the page.
        summary: metrics, see `describe`.
        cards: one HTML fragment for each misclassified image, made by `render_card`.
    """
    return _PAGE.format(
        title=html.escape(title),
        figures=html.escape(describe(summary)),
        count=f"{len(cards)} {'miss' if len(cards) == 1 else 'misses'}" if cards else "No miss",
        misses="\n".join(cards),
    )


def render_card(result: ImageResult) -> str:
    """Render one misclassified image: the original, its readings, the label and the prediction."""
    sample, answer = result.sample, result.answer
    name = f"<p><code>{html.escape(sample.name)}</code>"
    if answer is None or result.image is None or result.prepared is None:
        return f"<li>{name}<br>unreadable: {html.escape(result.error)}</li>"
    thumbnail = result.image.convert("RGBA")
    thumbnail.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    readings = "".join(
        _render_reading(reading, is_chosen=index == answer.reading)
        for index, reading in enumerate(result.prepared.readings)
    )
    prediction = f"{answer.digit} ({answer.certainty:.1%}, {answer.verdict}), then {answer.runner_up}"
    return (
        f'<li><img alt="the image" src="{_data_url(thumbnail)}">{readings}'
        f"{name}<br>truth: {html.escape(sample.label)}, answer: {prediction}</p></li>"
    )


def _render_reading(reading: Reading, *, is_chosen: bool) -> str:
    """Render an input of the model; the caption says whether the answer is about it."""
    enlarged = Image.fromarray(np.kron(reading.pixels, np.ones((_PREPARED_SCALE, _PREPARED_SCALE), np.uint8)))
    css, caption = (' class="chosen"', f"{reading.kind} (chosen)") if is_chosen else ("", str(reading.kind))
    return (
        f'<figure{css}><img alt="the reading {reading.kind}" src="{_data_url(enlarged)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
