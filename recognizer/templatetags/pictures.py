"""URLs of a submission's images and of its JSON. A share key, if any, is passed on in the query."""

from urllib.parse import urlencode

from django import template
from django.urls import reverse

from recognizer.models import Submission

register = template.Library()

# Width and height within which a page shows a stored image, in CSS pixels.
MAX_SHOWN = 576


@register.simple_tag
def submission_url(name: str, submission: Submission, key: str = "") -> str:
    """Return the URL of a view of the API for a submission, such as `api-submission-image`."""
    url = reverse(name, args=[submission.public_id])
    return f"{url}?{urlencode({'key': key})}" if key else url


@register.filter
def crop_box(submission: Submission) -> str:
    """Return the crop as an SVG view box: left, top, width, height. "" if the image was not cropped."""
    if submission.crop is None:
        return ""
    left, top, right, bottom = submission.crop
    return f"{left} {top} {right - left} {bottom - top}"


@register.filter
def shown_width(submission: Submission) -> int:
    """Return the width at which the stored image fits MAX_SHOWN x MAX_SHOWN."""
    width, height = submission.picture_width, submission.picture_height
    return max(1, round(MAX_SHOWN * width / max(width, height)))


@register.filter
def shown_height(submission: Submission) -> int:
    """Return the height that belongs to `shown_width`."""
    width, height = submission.picture_width, submission.picture_height
    return max(1, round(MAX_SHOWN * height / max(width, height)))


@register.filter
def crop_size(box: list[int] | None) -> str:
    """Return the size of a crop box in pixels, or "Whole"."""
    return "Whole" if box is None else f"{box[2] - box[0]} × {box[3] - box[1]}"
