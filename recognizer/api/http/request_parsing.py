"""Parsing of bodies with images: a form, JSON or an image file; one image, or a batch to be stored together."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.conf import settings
from django.http import HttpRequest, QueryDict
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.serializers import Serializer

from recognizer.api.http.credentials import is_browser
from recognizer.api.serializers.inputs import (
    NewSubmissionFileSerializer,
    NewSubmissionFormSerializer,
    NewSubmissionJsonSerializer,
    PictureFileSerializer,
    PictureFormSerializer,
    PictureJsonSerializer,
)
from recognizer.models import Source
from recognizer.requests import SiteRequest
from recognizer.services.lib.errors import detach
from recognizer.services.submissions.intake import SubmissionInput

from .parsers import JsonParser, parse_form
from .problems import TooManyImages

# The maximum number of files in a form.
MAX_BATCH_SIZE = settings.DATA_UPLOAD_MAX_NUMBER_FILES
MAX_CONTENT_TYPE_LENGTH = 256

Entry = SubmissionInput | ValidationError


@dataclass(frozen=True, slots=True)
class BodySerializers:
    """The serializers of an image by kind of body.

    They are shared by all requests, as validating does not change them: a serializer of the framework forms a
    reference cycle with its fields, which would keep the body of a request in memory.

    Attributes:
        file: Query parameters next to an image file.
        form: Fields of a multipart form.
        json: Fields of a JSON object.
    """

    file: Serializer[Any]
    form: Serializer[Any]
    json: Serializer[Any]


IMAGE = BodySerializers(PictureFileSerializer(), PictureFormSerializer(), PictureJsonSerializer())
NEW_SUBMISSION = BodySerializers(
    NewSubmissionFileSerializer(), NewSubmissionFormSerializer(), NewSubmissionJsonSerializer()
)


class UnsupportedBody(APIException):
    """The body is of a media type that the operation does not accept (415)."""

    status_code = 415
    default_code = "unsupported_media_type"

    def __init__(self, media_type: str) -> None:
        supported = "application/json or multipart/form-data or image/*"
        super().__init__(f'Unsupported media type "{media_type}" in request. Send {supported}.')


def read_body(request: HttpRequest) -> Any:
    """Return the body: a `QueryDict` with fields and files, a JSON value, or the bytes of an image file.

    Raises:
        rest_framework.exceptions.APIException: The body is too large, malformed or of another media type.
    """
    content_type, media_type = request.META.get("CONTENT_TYPE", ""), request.content_type or ""
    is_empty = not int(request.META.get("CONTENT_LENGTH") or 0)
    if len(content_type) > MAX_CONTENT_TYPE_LENGTH:
        raise UnsupportedBody(content_type)
    if media_type.startswith("image/"):
        return request.body
    if media_type == "multipart/form-data":
        return QueryDict() if is_empty else parse_form(request, content_type)
    if is_empty:
        return {}
    if media_type == "application/json":
        return JsonParser().parse(BytesIO(request.body))
    raise UnsupportedBody(content_type)


def parse_image(request: SiteRequest, body: Any, kinds: BodySerializers) -> SubmissionInput:
    """Return the single image of a body.

    Raises:
        rest_framework.exceptions.ValidationError: Messages by field.
    """
    if isinstance(body, bytes):
        options = kinds.file.run_validation(request.GET.dict())
        return _to_input(request, options | {"image": body})
    _check_no_query_parameters(request)
    serializer = kinds.form if isinstance(body, QueryDict) else kinds.json
    return _to_input(request, serializer.run_validation(body))


def parse_batch(request: SiteRequest, body: Any, kinds: BodySerializers) -> list[Entry] | None:
    """Return the images of a batch, or None if the body is not a batch.

    Each invalid image is represented by its validation error.

    Raises:
        TooManyImages: The batch has more than MAX_BATCH_SIZE images.
        rest_framework.exceptions.ValidationError: The batch as a whole is invalid.
    """
    if isinstance(body, QueryDict) and len(body.getlist("image")) > 1:
        options = body.dict()
        if "crop" in options:
            raise ValidationError({"crop": ["A crop box goes with one picture only."]})
        images: list[Any] = [options | {"image": image} for image in body.getlist("image")]
        serializer = kinds.form
    elif isinstance(body, list):
        images, serializer = body, kinds.json
    else:
        return None
    _check_no_query_parameters(request)
    if not images:
        raise ValidationError("Send at least one picture.")
    if len(images) > MAX_BATCH_SIZE:
        raise TooManyImages(f"Send at most {MAX_BATCH_SIZE} pictures at once.")
    return [_to_entry(request, serializer, image) for image in images]


def _to_entry(request: SiteRequest, serializer: Serializer[Any], image: object) -> Entry:
    try:
        return _to_input(request, serializer.run_validation(image))
    except ValidationError as error:
        return detach(error)


def _check_no_query_parameters(request: SiteRequest) -> None:
    if request.GET:
        text = "Only a picture that is the body itself takes its options from the address. Put them into the body."
        raise ValidationError({name: [text] for name in request.GET})


def _to_input(request: SiteRequest, fields: Mapping[str, Any]) -> SubmissionInput:
    source = Source.API
    if is_browser(request):
        source = Source.CANVAS if "strokes" in fields else Source.UPLOAD
    return SubmissionInput(source=source, **fields)
