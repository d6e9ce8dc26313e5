"""Parsing of bodies with images: a form, JSON or an image file; one image, or a batch to be stored together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.serializers import Serializer

from recognizer.api.http.credentials import is_browser
from recognizer.api.serializers.fields import serializer_of
from recognizer.api.serializers.inputs import (
    NewSubmissionFileSerializer,
    NewSubmissionFormSerializer,
    NewSubmissionJsonSerializer,
    PictureFileSerializer,
    PictureFormSerializer,
    PictureJsonSerializer,
)
from recognizer.models import Source
from recognizer.services.lib.errors import detach
from recognizer.services.submissions.intake import SubmissionInput

from .problems import TooManyImages
from .requests import ApiRequest

# The maximum number of files in a form.
MAX_BATCH_SIZE = settings.DATA_UPLOAD_MAX_NUMBER_FILES

Entry = SubmissionInput | ValidationError


@dataclass(frozen=True, slots=True)
class BodySerializers:
    """The serializers of an image by kind of body.

    Attributes:
        file: Query parameters next to an image file.
        form: Fields of a multipart form.
        json: Fields of a JSON object.
    """

    file: type[Serializer[Any]]
    form: type[Serializer[Any]]
    json: type[Serializer[Any]]


IMAGE = BodySerializers(PictureFileSerializer, PictureFormSerializer, PictureJsonSerializer)
NEW_SUBMISSION = BodySerializers(NewSubmissionFileSerializer, NewSubmissionFormSerializer, NewSubmissionJsonSerializer)


def parse_image(request: ApiRequest, kinds: BodySerializers) -> SubmissionInput:
    """Return the single image of a body.

    Raises:
        rest_framework.exceptions.ValidationError: Messages by field.
    """
    data: Any = request.data
    if request.media_type.startswith("image/"):
        options = serializer_of(kinds.file).run_validation(request.query_params.dict())
        return _to_input(request, options | {"image": data or b""})
    _check_no_query_parameters(request)
    kind = kinds.form if isinstance(data, QueryDict) else kinds.json
    return _to_input(request, serializer_of(kind).run_validation(data))


def parse_batch(request: ApiRequest, kinds: BodySerializers) -> list[Entry] | None:
    """Return the images of a batch, or None if the body is not a batch.

    Each invalid image is represented by its validation error.

    Raises:
        TooManyImages: The batch has more than MAX_BATCH_SIZE images.
        rest_framework.exceptions.ValidationError: The batch as a whole is invalid.
    """
    data: Any = request.data
    if isinstance(data, QueryDict) and len(data.getlist("image")) > 1:
        options = data.dict()
        if "crop" in options:
            raise ValidationError({"crop": ["A crop box goes with one picture only."]})
        bodies: list[Any] = [options | {"image": image} for image in data.getlist("image")]
        kind = kinds.form
    elif isinstance(data, list):
        bodies, kind = data, kinds.json
    else:
        return None
    _check_no_query_parameters(request)
    if not bodies:
        raise ValidationError("Send at least one picture.")
    if len(bodies) > MAX_BATCH_SIZE:
        raise TooManyImages(f"Send at most {MAX_BATCH_SIZE} pictures at once.")
    return [_to_entry(request, serializer_of(kind), body) for body in bodies]


def valid_entries(entries: Sequence[Entry]) -> list[SubmissionInput]:
    """Return the entries without a validation error."""
    return [entry for entry in entries if isinstance(entry, SubmissionInput)]


def _to_entry(request: ApiRequest, serializer: Serializer[Any], body: object) -> Entry:
    try:
        return _to_input(request, serializer.run_validation(body))
    except ValidationError as error:
        return detach(error)


def _check_no_query_parameters(request: ApiRequest) -> None:
    if request.query_params:
        text = "Only a picture that is the body itself takes its options from the address. Put them into the body."
        raise ValidationError({name: [text] for name in request.query_params})


def _to_input(request: ApiRequest, fields: Mapping[str, Any]) -> SubmissionInput:
    source = Source.API
    if is_browser(request):
        source = Source.CANVAS if "strokes" in fields else Source.UPLOAD
    return SubmissionInput(source=source, **fields)
