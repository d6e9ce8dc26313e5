"""Addresses of a submission's pictures and of its JSON, with the key by which a stranger was given leave to look."""

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
    return _url("api-submission-image", submission, key)


@register.simple_tag
def pixels_url(submission: Submission, key: str = "") -> str:
    return _url("api-submission-pixels", submission, key)


@register.simple_tag
def explanation_url(submission: Submission, key: str = "") -> str:
    return _url("api-submission-explanation-image", submission, key)


@register.simple_tag
def submission_api_url(submission: Submission, key: str = "") -> str:
    return _url("api-submission", submission, key)


@register.filter
def crop_box(submission: Submission) -> str:
    """The crop as an SVG view box: left, top, width, height."""
    left, top, right, bottom = submission.crop
    return f"{left} {top} {right - left} {bottom - top}"
