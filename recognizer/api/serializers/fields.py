"""Fields of request bodies, and the base class of serializers that reject unknown names.

Fields check the shape of a value; services check its meaning.
"""

import base64
import binascii
import json
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ml.versions import SIDE
from recognizer.models import TruthValue

# A problem document lists this many unknown names, each cut to this length: a request may have a million of them.
MAX_UNKNOWN_LISTED, MAX_NAME_LENGTH = 3, 60


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that rejects unknown fields, so that a misspelt option is not ignored.

    Subclasses need a docstring of their own, because the OpenAPI document would inherit this one.
    """

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Validate the fields; unknown names are a validation error."""
        if isinstance(data, dict):  # includes the QueryDict of a form
            unknown = sorted(set(data) - set(self.fields) - {"csrfmiddlewaretoken"})
            if unknown:
                text = f"There is no such field here. Use: {', '.join(self.fields)}."
                raise serializers.ValidationError(
                    {name[:MAX_NAME_LENGTH]: [text] for name in unknown[:MAX_UNKNOWN_LISTED]}
                )
        values: dict[str, Any] = super().to_internal_value(data)
        return values


class ShortListField(serializers.ListField):
    """A list whose length is checked before its items, because each invalid item produces an error of its own."""

    def to_internal_value(self, data: Any) -> list[Any]:
        """Validate the length, then the items."""
        if isinstance(data, list) and self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class IdField(serializers.RegexField):
    """A syntactically valid submission id. Whether the submission exists is not checked."""

    default_error_messages = {"invalid": "This is no id of a submission."}

    def __init__(self, **options: Any) -> None:
        super().__init__("^[A-Za-z0-9_-]{1,32}$", trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        """Accept strings only; the framework's field converts numbers."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class TruthField(serializers.ChoiceField):
    """Content of an image: a digit as text, or a word such as `unclear`."""

    default_error_messages = {"not_text": 'Write it as text: "7" and not 7.'}

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=TruthValue.choices, **options)

    def to_internal_value(self, data: Any) -> str:
        """Accept strings only; the framework's field converts numbers."""
        if not isinstance(data, str):
            self.fail("not_text")
        value: str = super().to_internal_value(data)
        return value


@extend_schema_field(OpenApiTypes.BINARY)
class FileField(serializers.Field[bytes, Any, Any, Any]):
    """An uploaded file. Returns its bytes without checking them."""

    default_error_messages = {"not_a_file": "Send the picture as a file."}

    def to_internal_value(self, data: Any) -> bytes:
        """Return the file's content."""
        if not isinstance(data, UploadedFile):
            self.fail("not_a_file")
        content: bytes = data.read()
        return content


# A 7, 28 x 28 pixels.
EXAMPLE_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcAQAAAABaduI5AAAAQklEQVR42mP8z8DwkYmBgYEBnfjPyMHA"
    "xMDwB8JlYfx/Ai4LZTH8/y//ASr2XwEm+88BJvvjP0z2J9zkT1AWIxZ7AYZxE+Qp4phNAAAAAElFTkSuQmCC"
)


@extend_schema_field(
    {
        "type": "string",
        "pattern": "^data:image/[a-z+.-]+;base64,[A-Za-z0-9+/]+={0,2}$",
        "examples": [f"data:image/png;base64,{EXAMPLE_PNG}"],
    }
)
class DataUrlField(serializers.Field[bytes, Any, Any, Any]):
    """An image file as a data URL (RFC 2397). Returns its bytes without checking them."""

    default_error_messages = {
        "not_a_data_url": "Send the picture as a data URL: data:image/png;base64,….",
        "not_base64": "The data URL must be base64: data:image/png;base64,….",
    }

    def to_internal_value(self, data: Any) -> bytes:
        """Decode the base64 part."""
        if not isinstance(data, str) or not data.startswith("data:image/"):
            self.fail("not_a_data_url")
        head, comma, body = data.partition(",")
        if not comma or not head.endswith(";base64"):
            self.fail("not_base64")
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            self.fail("not_base64")


class _UncheckedField(serializers.Field[Any, Any, Any, Any]):
    def to_internal_value(self, data: Any) -> Any:
        """Return the value unchanged."""
        return data


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "description": "One `[[x…], [y…]]` or `[[x…], [y…], [t…]]` for each stroke, y downwards, t in milliseconds.",
        "examples": [[[[60, 200, 120], [60, 60, 230]]]],
    }
)
class StrokesField(_UncheckedField):
    """Strokes, unchecked; `ml.preprocessing.parse_strokes` validates them."""


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 4,
        "maxItems": 4,
        "description": "Left, top, right and bottom edge of the digit, in pixels of the image that is sent.",
    }
)
class CropField(serializers.Field[tuple[float, ...], Any, Any, Any]):
    """A crop box of four numbers; in a form, as JSON text."""

    default_error_messages = {"not_a_box": "Give four numbers: [left, top, right, bottom]."}

    def to_internal_value(self, data: Any) -> tuple[float, ...]:
        """Return the box as (left, top, right, bottom)."""
        if isinstance(data, str):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError):
                self.fail("not_a_box")
        if not isinstance(data, list) or len(data) != 4 or not all(map(_is_coordinate, data)):
            self.fail("not_a_box")
        return tuple(data)


def _is_coordinate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6


@extend_schema_field(
    {
        "type": "array",
        "minItems": SIDE,
        "maxItems": SIDE,
        "items": {
            "type": "array",
            "minItems": SIDE,
            "maxItems": SIDE,
            "items": {"type": "integer", "minimum": 0, "maximum": 255},
        },
        "description": "28 rows of 28 grey values, ink lighter or darker than the background; preprocessed like any "
        "small image.",
    }
)
class PixelsField(_UncheckedField):
    """Grey values, unchecked; `services.submissions.intake` validates them."""


@extend_schema_field(
    {
        "oneOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}],
        "description": "Pen width in units of the strokes, for all strokes or for each; 20 of 280 by default. The "
        "stored image is drawn with it. The model always sees a drawing at its own fixed width.",
    }
)
class PenField(_UncheckedField):
    """Pen widths, unchecked; `ml.preprocessing.parse_pens` validates them."""
