"""What can be sent to the API, checked for shape. What it means is checked by the services."""

import base64
import binascii
import json
from functools import cache

from django.core.files.uploadedfile import UploadedFile
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ml.preprocessing import FRAME
from ml.serving.images import FORMAT_NAMES
from recognizer.models import TruthValue

# How many fields without a meaning a refusal names, and how much of each: one request may hold a million of them.
MAX_UNKNOWN_LISTED, MAX_NAME_LENGTH = 3, 60


# A comment and no docstring: that would stand in the OpenAPI document beside every body.
# Names that mean nothing here are refused, for a misspelt option would otherwise be ignored in silence.
class StrictSerializer(serializers.Serializer):
    def to_internal_value(self, data: object) -> dict:
        if isinstance(data, dict):  # a form's fields are a dict too
            unknown = sorted(set(data) - set(self.fields) - {"csrfmiddlewaretoken"})
            if unknown:
                text = f"There is no such field here. Use: {', '.join(self.fields)}."
                raise serializers.ValidationError(
                    {name[:MAX_NAME_LENGTH]: [text] for name in unknown[:MAX_UNKNOWN_LISTED]}
                )
        return super().to_internal_value(data)


@cache
def serializer_of(kind: type[serializers.Serializer]) -> serializers.Serializer:
    """Return the one instance of a serializer that all requests share, in whatever thread, to validate a body.

    Validation changes nothing in it. One for each request would cost more, and its fields hold it: a reference cycle
    that would keep the body.
    """
    return kind()


class ShortListField(serializers.ListField):
    """A list that is counted before what is in it is looked at: each wrong item has an error of its own."""

    def to_internal_value(self, data: object) -> list:
        if isinstance(data, list) and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class IdField(serializers.RegexField):
    """Id of a submission, there or not."""

    default_error_messages = {"invalid": "This is no id of a submission."}

    def __init__(self, **options: object) -> None:
        super().__init__("^[A-Za-z0-9_-]{1,32}$", trim_whitespace=False, **options)

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class TruthField(serializers.ChoiceField):
    """What a picture shows: the digit as text, or a word."""

    default_error_messages = {"not_text": 'Write it as text: "7" and not 7.'}

    def __init__(self, **options: object) -> None:
        super().__init__(choices=TruthValue.choices, **options)

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("not_text")
        return super().to_internal_value(data)


@extend_schema_field(OpenApiTypes.BINARY)
class FileField(serializers.Field):
    """An uploaded file; gives its bytes, whatever they are."""

    default_error_messages = {"not_a_file": "Send the picture as a file."}

    def to_internal_value(self, data: object) -> bytes:
        if not isinstance(data, UploadedFile):
            self.fail("not_a_file")
        return data.read()


# A 7 of 28 x 28.
A_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcAQAAAABaduI5AAAAQklEQVR42mP8z8DwkYmBgYEBnfjPyMHA"
    "xMDwB8JlYfx/Ai4LZTH8/y//ASr2XwEm+88BJvvjP0z2J9zkT1AWIxZ7AYZxE+Qp4phNAAAAAElFTkSuQmCC"
)


@extend_schema_field(
    {
        "type": "string",
        "pattern": "^data:image/[a-z+.-]+;base64,[A-Za-z0-9+/]+={0,2}$",
        "examples": [f"data:image/png;base64,{A_PNG}"],
    }
)
class DataUrlField(serializers.Field):
    """A file inside JSON, as a data URL (RFC 2397); gives its bytes, whatever they are."""

    default_error_messages = {
        "not_a_data_url": "Send the picture as a data URL: data:image/png;base64,….",
        "not_base64": "The data URL must be base64: data:image/png;base64,….",
    }

    def to_internal_value(self, data: object) -> bytes:
        if not isinstance(data, str) or not data.startswith("data:image/"):
            self.fail("not_a_data_url")
        head, comma, body = data.partition(",")
        if not comma or not head.endswith(";base64"):
            self.fail("not_base64")
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            self.fail("not_base64")


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "description": "One `[[x…], [y…]]` or `[[x…], [y…], [t…]]` for each stroke, y downwards, t in milliseconds.",
        "examples": [[[[60, 200, 120], [60, 60, 230]]]],
    }
)
class StrokesField(serializers.Field):
    """Strokes as they came; `ml.preprocessing.parse_strokes` checks them."""

    def to_internal_value(self, data: object) -> object:
        return data


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 4,
        "maxItems": 4,
        "description": "Left, top, right, bottom of the digit, in the picture's own pixels.",
    }
)
class CropField(serializers.Field):
    """Four numbers; in a form, as JSON text."""

    default_error_messages = {"not_a_box": "Give four numbers: [left, top, right, bottom]."}

    def to_internal_value(self, data: object) -> tuple[float, ...]:
        if isinstance(data, str):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError):
                self.fail("not_a_box")
        numbers = isinstance(data, list) and all(
            isinstance(one, int | float) and not isinstance(one, bool) and abs(one) < 1e6 for one in data
        )
        if not numbers or len(data) != 4:
            self.fail("not_a_box")
        return tuple(data)


@extend_schema_field(
    {
        "type": "array",
        "minItems": 28,
        "maxItems": 28,
        "items": {
            "type": "array",
            "minItems": 28,
            "maxItems": 28,
            "items": {"type": "integer", "minimum": 0, "maximum": 255},
        },
        "description": "28 rows of 28 grey values, ink lighter or darker than paper; read like any small picture.",
    }
)
class PixelsField(serializers.Field):
    """Grey values as they came; `services.submissions.intake` checks them."""

    def to_internal_value(self, data: object) -> object:
        return data


@extend_schema_field(
    {
        "oneOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}],
        "description": "Width of the pen in the strokes' units, for all or for each stroke; 20 of 280 without it. The "
        "kept picture is drawn with it; the model sees every drawing at the width that it knows.",
    }
)
class PenField(serializers.Field):
    """Widths as they came; `ml.preprocessing.parse_pens` checks them."""

    def to_internal_value(self, data: object) -> object:
        return data


FORMATS = f"{', '.join(FORMAT_NAMES[:-1])} or {FORMAT_NAMES[-1]}; of several frames the first"


class PictureFileSerializer(StrictSerializer):
    """What can be said of a picture that is sent as it is, in the address."""

    crop = CropField(required=False)


class PictureFormSerializer(StrictSerializer):
    """A picture as a file."""

    image = FileField(help_text=f"{FORMATS}.")
    crop = CropField(required=False, help_text="As JSON text.")


class PictureJsonSerializer(StrictSerializer):
    """A picture as a data URL, 28 x 28 grey values, or strokes: exactly one of the three."""

    image = DataUrlField(required=False, help_text=f"{FORMATS}; as a data URL.")
    crop = CropField(required=False)
    pixels = PixelsField(required=False)
    strokes = StrokesField(required=False)
    frame = serializers.FloatField(
        default=FRAME, min_value=1, max_value=100_000, help_text="Side of the square canvas, in the strokes' units."
    )
    pen = PenField(required=False)

    def validate(self, attrs: dict) -> dict:
        if sum(name in attrs for name in ("image", "pixels", "strokes")) != 1:
            raise serializers.ValidationError("Send either `image`, `pixels` or `strokes`.")
        if "crop" in attrs and "image" not in attrs:
            raise serializers.ValidationError({"crop": ["Only a picture can be cropped."]})
        if "pen" in attrs and "strokes" not in attrs:
            raise serializers.ValidationError({"pen": ["Only strokes have a pen."]})
        return attrs


def _may_train() -> serializers.BooleanField:
    return serializers.BooleanField(default=True, help_text="False: the site may not learn from it.")


class NewSubmissionFileSerializer(PictureFileSerializer):
    """What can be said of a picture that is sent as it is, in the address."""

    may_train = _may_train()


class NewSubmissionFormSerializer(PictureFormSerializer):
    """A picture as a file, to be stored; or up to 100, each as a part `image`, all with the same `may_train`."""

    may_train = _may_train()


class NewSubmissionJsonSerializer(PictureJsonSerializer):
    """A picture as a data URL, 28 x 28 grey values, or strokes, to be stored: exactly one of the three."""

    may_train = _may_train()
