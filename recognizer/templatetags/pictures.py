"""URLs of a submission's images and of its JSON. A share key, if any, is passed on in the query."""

from urllib.parse import urlencode

from django import template
from django.urls import reverse

from recognizer.models import Submission

register = template.Library()


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
