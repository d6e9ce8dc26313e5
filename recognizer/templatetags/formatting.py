"""How the pages say things: verdicts in words, figures with sensible digits, times that browsers can localise."""

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ml.serving.verdicts import Verdict
from recognizer.models import Prediction

register = template.Library()

# One list for the server's templates and the scripts: the Draw page hands it to its modules as JSON.
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

# What a page hands to its scripts with json_script.
ANSWER_WORDS = {"sentences": VERDICT_SENTENCES, "hints": VERDICT_HINTS}


@register.filter
def percent(share: float | None) -> str:
    """0.99403 → 99.4 %. Never rounds doubt away: 0.9999 is > 99.9 %, 0.0001 is < 0.1 %. Nothing for None."""
    if share is None:
        return ""
    if share >= 0.9995:
        return ">\u00a099.9\u00a0%"
    if share < 0.0005:
        return "<\u00a00.1\u00a0%"
    return f"{share * 100:.1f}\u00a0%"


@register.filter
def counted_percent(share: float | None) -> str:
    """As percent, but of things that were counted: 29 of 29 is 100 %, and none of them 0 %."""
    return whole_percent(share) if share in (0, 1) else percent(share)


@register.filter
def whole_percent(share: float) -> str:
    """0.955 → 96 %: for the ticks of an axis."""
    return f"{share * 100:.0f}\u00a0%"


@register.filter
def megabytes(size: int) -> str:
    """10485760 → 10 MB."""
    return f"{size / 1024 / 1024:.3g}\u00a0MB"


def _fill(sentences: dict[str, str], prediction: Prediction) -> str:
    return sentences[prediction.verdict].format(
        digit=prediction.digit, runner_up=prediction.runner_up, certainty=percent(prediction.certainty)
    )


@register.filter
def verdict_sentence(prediction: Prediction) -> str:
    return _fill(VERDICT_SENTENCES, prediction)


@register.filter
def verdict_hint(prediction: Prediction) -> str:
    return _fill(VERDICT_HINTS, prediction)


@register.filter
def bars(prediction: Prediction | None) -> list[dict]:
    """Ten rows for the bars: digit, share 0..1 (None where nothing was answered yet), and which one leads."""
    shares = prediction.probabilities if prediction else [None] * 10
    leader = prediction.digit if prediction else None
    return [{"digit": digit, "share": share, "leads": digit == leader} for digit, share in enumerate(shares)]


@register.filter
def bar_width(share: float | None) -> str:
    """A length for an SVG attribute: inline styles are forbidden by the content security policy."""
    return f"{(share or 0) * 100:.2f}%"


@register.filter
def moment(when: datetime | None) -> SafeString | str:
    """A time that reads right without scripts (UTC, said so) and in the reader's own zone with them."""
    if when is None:
        return "–"
    in_utc = when.astimezone(UTC)
    return format_html(
        '<time datetime="{}" data-local-time>{} UTC</time>',
        in_utc.isoformat(timespec="seconds"),
        in_utc.strftime("%-d %b %Y, %H:%M"),
    )
