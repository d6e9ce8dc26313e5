"""Bodies in which pictures come: a form, JSON, or the file as it is; one picture, or several to be stored together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.serializers import Serializer

from recognizer.api.authentication.cookie import is_browser
from recognizer.api.serializers.inputs import (
    NewSubmissionFileSerializer,
    NewSubmissionFormSerializer,
    NewSubmissionJsonSerializer,
    PictureFileSerializer,
    PictureFormSerializer,
    PictureJsonSerializer,
    serializer_of,
)
from recognizer.models import Source
from recognizer.services.lib.errors import detach
from recognizer.services.submissions.intake import SubmissionInput

from .problems import TooManyPictures
from .requests import ApiRequest

# As many as one form may hold.
MAX_BATCH_SIZE = settings.DATA_UPLOAD_MAX_NUMBER_FILES

Entry = SubmissionInput | ValidationError


@dataclass(frozen=True, slots=True)
class Fields:
    """What may be said of a picture, in each kind of body."""

    file: type[Serializer]
    form: type[Serializer]
    json: type[Serializer]


PICTURE = Fields(PictureFileSerializer, PictureFormSerializer, PictureJsonSerializer)
NEW_SUBMISSION = Fields(NewSubmissionFileSerializer, NewSubmissionFormSerializer, NewSubmissionJsonSerializer)


def read_one(request: ApiRequest, fields: Fields) -> SubmissionInput:
    """The one picture of a body.

    Raises:
        rest_framework.exceptions.ValidationError: with a message for each field that is wrong.
    """
    data = request.data
    if request.media_type.startswith("image/"):
        options = serializer_of(fields.file).run_validation(request.query_params.dict())
        return _sent(request, options | {"image": data or b""})
    _check_address(request)
    kind = fields.form if isinstance(data, QueryDict) else fields.json
    return _sent(request, serializer_of(kind).run_validation(data))


def read_several(request: ApiRequest, fields: Fields) -> list[Entry] | None:
    """The pictures of a body that holds a list of them, each by itself right or wrong; None for any other body.

    Raises:
        TooManyPictures, rest_framework.exceptions.ValidationError: about all of them.
    """
    data = request.data
    if isinstance(data, QueryDict) and len(data.getlist("image")) > 1:
        options = data.dict()
        if "crop" in options:
            raise ValidationError({"crop": ["A crop box goes with one picture only."]})
        bodies = [options | {"image": image} for image in data.getlist("image")]
        kind = fields.form
    elif isinstance(data, list):
        bodies, kind = data, fields.json
    else:
        return None
    _check_address(request)
    if not bodies:
        raise ValidationError("Send at least one picture.")
    if len(bodies) > MAX_BATCH_SIZE:
        raise TooManyPictures(f"Send at most {MAX_BATCH_SIZE} pictures at once.")
    return [_entry(request, serializer_of(kind), body) for body in bodies]


def valid_entries(entries: Sequence[Entry]) -> list[SubmissionInput]:
    """Those with which nothing is wrong so far."""
    return [entry for entry in entries if isinstance(entry, SubmissionInput)]


def _entry(request: ApiRequest, serializer: Serializer, body: object) -> Entry:
    try:
        return _sent(request, serializer.run_validation(body))
    except ValidationError as error:
        return detach(error)


def _check_address(request: ApiRequest) -> None:
    if request.query_params:
        text = "Only a picture that is sent as it is has its options in the address; say it in the body."
        raise ValidationError({name: [text] for name in request.query_params})


def _sent(request: ApiRequest, fields: Mapping) -> SubmissionInput:
    source = Source.API
    if is_browser(request):
        source = Source.CANVAS if "strokes" in fields else Source.UPLOAD
    return SubmissionInput(source=source, **fields)
