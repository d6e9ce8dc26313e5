"""Charts of `ml.evaluation.charts` for the templates."""

from collections.abc import Sequence
from datetime import date

from django import template
from django.utils.safestring import SafeString

from ml.evaluation import charts
from recognizer.services.review.statistics import AccuracyShare

from .formatting import counted_percent

register = template.Library()


@register.simple_tag
def share_chart(shares: Sequence[AccuracyShare], title: str) -> SafeString:
    """Render shares with confidence intervals."""
    points = [
        charts.Share(
            _axis_label(share.name),
            share.share,
            share.interval,
            f"{_axis_label(share.name)}: {counted_percent(share.share)}, {share.right} of {share.total}",
        )
        for share in shares
    ]
    return SafeString(charts.share_chart(title, points))


@register.simple_tag
def count_chart(counts: Sequence[tuple[date, int]], title: str) -> SafeString:
    """Render a bar for each day."""
    return SafeString(charts.count_chart(title, [(_axis_label(day), count) for day, count in counts]))


def _axis_label(name: object) -> str:
    return name.strftime("%-d %b") if isinstance(name, date) else str(name)
