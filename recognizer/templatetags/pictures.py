"""URLs of a submission's images and of its JSON. A share key, if any, is passed on in the query."""

from urllib.parse import urlencode

from django import template
from django.urls import reverse

from recognizer.models import Submission

register = template.Library()


def _url(name: str, submission: Submission, key: str) -> str:
    url = reverse(name, args=[submission.public_id])
    return f"{url}?{urlencode({'key': key})}" if key else url


@register.simple_tag
def picture_url(submission: Submission, key: str = "") -> str:
    """Return the URL of the stored image."""
    return _url("api-submission-image", submission, key)


@register.simple_tag
def pixels_url(submission: Submission, key: str = "") -> str:
    """Return the URL of the 28 x 28 input of the model."""
    return _url("api-submission-pixels", submission, key)


@register.simple_tag
def explanation_url(submission: Submission, key: str = "") -> str:
    """Return the URL of the occlusion map."""
    return _url("api-submission-explanation-image", submission, key)


@register.simple_tag
def submission_api_url(submission: Submission, key: str = "") -> str:
    """Return the URL of the submission in the API."""
    return _url("api-submission", submission, key)


@register.filter
def crop_box(submission: Submission) -> str:
    """Return the crop as an SVG view box: left, top, width, height. "" if the image was not cropped."""
    if submission.crop is None:
        return ""
    left, top, right, bottom = submission.crop
    return f"{left} {top} {right - left} {bottom - top}"
