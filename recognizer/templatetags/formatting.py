"""Formatting of verdicts, percentages, sizes and times on the pages."""

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ml.readings import ReadingKind
from ml.serving.verdicts import Verdict
from recognizer.models import Prediction, Submission
from recognizer.services.lib.units import MEGABYTE

register = template.Library()

# Used by the templates and, as JSON, by the scripts.
VERDICT_SENTENCES = {
    Verdict.SURE.value: "Sure",
    Verdict.UNSURE.value: "Not sure: {digit} or {runner_up}?",
    Verdict.NOT_A_DIGIT.value: "This does not look like a digit",
    Verdict.SEVERAL.value: "This looks like several digits",
    Verdict.BLANK.value: "Nothing drawn yet",
}
VERDICT_HINTS = {
    Verdict.SURE.value: "{certainty} certain",
    Verdict.UNSURE.value: "{certainty} for {digit}",
    Verdict.NOT_A_DIGIT.value: "If it is one, most likely {digit}",
    Verdict.SEVERAL.value: "One at a time works best. As one: {digit}",
    Verdict.BLANK.value: "Draw one digit, large, anywhere",
}

# For predictions that chose another reading than the plain one.
READING_NOTES = {
    ReadingKind.PADDED: "Read with some background added around it.",
    ReadingKind.LINES: "Read with all of its straight lines.",
    ReadingKind.UNMARKED: "Read without the frame, circle or line around it.",
    ReadingKind.SHEET: "Read on the sheet of paper in the picture.",
    ReadingKind.FILLED: "Read with its outline filled in.",
}

# Passed to the scripts with json_script.
ANSWER_WORDS = {"sentences": VERDICT_SENTENCES, "hints": VERDICT_HINTS}


@register.filter
def percent(share: float | None) -> str:
    """Format a probability: 0.99403 → 99.4 %, 0.9999 → > 99.9 %, 0.0001 → < 0.1 %, None → ""."""
    if share is None:
        return ""
    if share >= 0.9995:
        return ">\u00a099.9\u00a0%"
    if share < 0.0005:
        return "<\u00a00.1\u00a0%"
    return f"{share * 100:.1f}\u00a0%"


@register.filter
def counted_percent(share: float | None) -> str:
    """Format the share of a count: like `percent`, but 1 → 100 % and 0 → 0 %."""
    return whole_percent(share) if share in (0, 1) else percent(share)


@register.filter
def whole_percent(share: float) -> str:
    """Format a share without decimals: 0.955 → 96 %."""
    return f"{share * 100:.0f}\u00a0%"


@register.filter
def megabytes(size: int) -> str:
    """Format a size in bytes: 10485760 → 10 MB."""
    return f"{size / MEGABYTE:.3g}\u00a0MB"


def _fill(sentences: dict[str, str], prediction: Prediction) -> str:
    return sentences[prediction.verdict].format(
        digit=prediction.digit, runner_up=prediction.runner_up, certainty=percent(prediction.certainty)
    )


@register.filter
def verdict_sentence(prediction: Prediction) -> str:
    """Return the sentence for the verdict of a prediction."""
    return _fill(VERDICT_SENTENCES, prediction)


@register.filter
def verdict_hint(prediction: Prediction) -> str:
    """Return the hint below the sentence."""
    return _fill(VERDICT_HINTS, prediction)


@register.filter
def reading_note(submission: Submission) -> str:
    """Return a sentence on the reading that the latest prediction chose, or "" for the plain one."""
    latest = submission.latest_prediction
    kind = submission.reading_kind(latest) if latest else None
    return READING_NOTES.get(kind, "") if kind else ""


@register.filter
def bars(prediction: Prediction | None) -> list[dict[str, object]]:
    """Return a row for each digit: its share (0 to 1, None without a prediction) and whether it is the largest."""
    shares = prediction.probabilities if prediction else [None] * 10
    leading = prediction.digit if prediction else None
    return [{"digit": digit, "share": share, "leads": digit == leading} for digit, share in enumerate(shares)]


@register.filter
def bar_width(share: float | None) -> str:
    """Return a length for an SVG attribute; the content security policy forbids inline styles."""
    return f"{(share or 0) * 100:.2f}%"


@register.filter
def moment(when: datetime | None) -> SafeString | str:
    """Format a time in UTC; `times.js` converts it to the time zone of the browser."""
    if when is None:
        return "–"
    in_utc = when.astimezone(UTC)
    return format_html(
        '<time datetime="{}" data-local-time>{} UTC</time>',
        in_utc.isoformat(timespec="seconds"),
        in_utc.strftime("%-d %b %Y, %H:%M"),
    )


@register.filter
def points(change: float | None) -> str:
    """Format a change in percentage points with its sign: 0.42 → +0.42."""
    return "" if change is None else f"{change:+.2f}".replace("-", "−")


@register.filter
def exact(share: float | None) -> str:
    """Format a share with two decimals: 0.99403 → 99.40 %. Versions often differ in the second decimal only."""
    return "–" if share is None else f"{share * 100:.2f}\u00a0%"
