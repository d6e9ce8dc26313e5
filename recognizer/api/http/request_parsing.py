"""Parsing of bodies with images: a form, JSON or an image file; one image, or a batch to be stored together."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MAX_TOTAL_HEADER_SIZE  # type: ignore[attr-defined] # missing in the stubs
from django.utils.http import parse_header_parameters
from multipart import MultipartError, MultipartParser
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.serializers import Serializer

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

from .parsers import JsonParser
from .problems import TOO_MANY_IMAGES, ProblemError

# The maximum number of files in a form.
MAX_BATCH_SIZE = settings.DATA_UPLOAD_MAX_NUMBER_FILES
MAX_CONTENT_TYPE_LENGTH = 256
CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")
# Bytes of a form field that is not a file. The longest valid one is a crop box of four numbers.
MAX_FIELD_BYTES = 4096

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


def check_body(request: HttpRequest, *, max_bytes: int) -> None:
    """Check the length and the charset of the body, before it is read.

    Raises:
        ProblemError: The body is larger than `max_bytes`, or not UTF-8.
    """
    if int(request.META.get("CONTENT_LENGTH") or 0) > max_bytes:
        detail = f"The body is larger than the {max_bytes:,} bytes that this address accepts."
        raise ProblemError("body_too_large", detail)
    if (request.content_params or {}).get("charset", "utf-8").lower() not in CHARSETS:
        raise ProblemError("unsupported_charset")


def read_body(request: HttpRequest) -> Any:
    """Return the body: a `QueryDict` with fields and files, a JSON value, or the bytes of an image file.

    Raises:
        rest_framework.exceptions.APIException: The body is too large, malformed or of another media type.
    """
    content_type = request.META.get("CONTENT_TYPE", "")
    media_type = (request.content_type or "") if len(content_type) <= MAX_CONTENT_TYPE_LENGTH else ""
    is_empty = not int(request.META.get("CONTENT_LENGTH") or 0)
    if media_type.startswith("image/"):
        return request.body
    if media_type == "multipart/form-data":
        return QueryDict() if is_empty else _parse_form(request, content_type)
    if is_empty:
        return {}
    if media_type == "application/json":
        return JsonParser().parse(BytesIO(request.body))
    raise ProblemError(
        "unsupported_media_type",
        f'Unsupported media type "{content_type}" in request. Send application/json or multipart/form-data or image/*.',
    )


def parse_inputs(
    request: HttpRequest, body: Any, kinds: BodySerializers, *, from_browser: bool
) -> tuple[list[Entry], bool]:
    """Return the images of a body, and whether it is a batch.

    Args:
        request: The request.
        body: Its body.
        kinds: The serializers.
        from_browser: Whether a page of the site sent it.

    Returns:
        One image, or the images of a batch, in which each invalid one is represented by its validation error.

    Raises:
        ProblemError: The batch has more than MAX_BATCH_SIZE images.
        rest_framework.exceptions.ValidationError: The single image, or the batch as a whole, is invalid.
    """
    if isinstance(body, bytes):
        options = kinds.file.run_validation(request.GET.dict())
        return [_to_input(options | {"image": body}, from_browser=from_browser)], False
    if request.GET:
        text = "Only a picture that is the body itself takes its options from the address. Put them into the body."
        raise ValidationError({name: [text] for name in request.GET})
    is_form = isinstance(body, QueryDict)
    serializer = kinds.form if is_form else kinds.json
    if is_form and len(body.getlist("image")) > 1:
        options = body.dict()
        if "crop" in options:
            raise ValidationError({"crop": ["A crop box goes with one picture only."]})
        images: list[Any] = [options | {"image": image} for image in body.getlist("image")]
    elif isinstance(body, list):
        images = body
    else:
        return [_to_input(serializer.run_validation(body), from_browser=from_browser)], False
    if not images:
        raise ValidationError("Send at least one picture.")
    if len(images) > MAX_BATCH_SIZE:
        raise ProblemError("too_many", TOO_MANY_IMAGES)
    return [_to_entry(serializer, image, from_browser=from_browser) for image in images], True


def _to_entry(serializer: Serializer[Any], image: object, *, from_browser: bool) -> Entry:
    try:
        return _to_input(serializer.run_validation(image), from_browser=from_browser)
    except ValidationError as error:
        return detach(error)


def _to_input(fields: Mapping[str, Any], *, from_browser: bool) -> SubmissionInput:
    source = Source.API
    if from_browser:
        source = Source.CANVAS if "strokes" in fields else Source.UPLOAD
    return SubmissionInput(source=source, **fields)


def _parse_form(request: HttpRequest, content_type: str) -> QueryDict:
    """Return the fields and the files of a multipart form, with Django's limits.

    Ten times as fast as Django's parser for small forms.

    Raises:
        ProblemError: A field that is not a file is too long.
        TooManyFieldsSent: The form has too many fields.
        TooManyFilesSent: The form has too many files.
        ParseError: The form is malformed.
    """
    form = MultipartParser(
        request,
        parse_header_parameters(content_type)[1].get("boundary", ""),
        headersize_limit=MAX_TOTAL_HEADER_SIZE,
        part_limit=math.inf,  # counted below, fields and files separately
        # No temporary files: the size of the body is limited, and each file is needed in memory anyway.
        spool_limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        memory_limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
    )
    fields = QueryDict(mutable=True)
    counts: Counter[bool] = Counter()
    try:
        for part in form:
            if part.filename is None:
                if part.size > MAX_FIELD_BYTES:
                    text = f"A field that is not a file may have {MAX_FIELD_BYTES} bytes at most."
                    raise ProblemError("body_too_large", text)
                fields.appendlist(part.name, part.raw.decode(errors="replace"))
            elif part.filename:  # empty: a file input without a selected file
                file = UploadedFile(part.file, part.filename, part.content_type, size=part.size)
                # The stubs allow texts only.
                fields.appendlist(part.name, file)  # type: ignore[arg-type]
            counts[part.filename is None] += 1
            if counts[True] > settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:
                raise TooManyFieldsSent
            if counts[False] > settings.DATA_UPLOAD_MAX_NUMBER_FILES:
                raise TooManyFilesSent
    except MultipartError as error:
        # The library keeps the error, and its traceback references the form.
        raise ParseError(f"Multipart form parse error - {error}.") from detach(error)
    return fields
