"""What can be sent to the API, checked for shape. What it means is checked by the services."""

import base64
import binascii
import json

from django.core.files.uploadedfile import UploadedFile
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from ml.preprocessing import FRAME


class StrictSerializer(serializers.Serializer):
    """A body; names that mean nothing here are refused, for a misspelt option would otherwise be ignored in silence."""

    def to_internal_value(self, data: object) -> dict:
        if isinstance(data, dict):  # a form's fields are a dict too
            unknown = sorted(set(data) - set(self.fields) - {"csrfmiddlewaretoken"})
            if unknown:
                text = f"There is no such field here. Use: {', '.join(self.fields)}."
                raise serializers.ValidationError({name: [text] for name in unknown})
        return super().to_internal_value(data)


@extend_schema_field(OpenApiTypes.BINARY)
class ImageField(serializers.Field):
    """A picture as an uploaded file or, in JSON, as a data URL; gives its bytes, whatever they are."""

    default_error_messages = {
        "not_a_file": "Send the picture as a file, or in JSON as a data URL: data:image/png;base64,….",
        "not_base64": "The data URL must be base64: data:image/png;base64,….",
        "no_media_type": "The data URL must name a picture: data:image/png;base64,….",
    }

    def to_internal_value(self, data: object) -> bytes:
        if isinstance(data, UploadedFile):
            return data.read()
        if not isinstance(data, str) or not data.startswith("data:"):
            self.fail("not_a_file")
        head, comma, body = data.partition(",")
        if not head.startswith("data:image/"):
            self.fail("no_media_type")
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
            except ValueError:
                self.fail("not_a_box")
        numbers = isinstance(data, list) and all(
            isinstance(one, int | float) and not isinstance(one, bool) and abs(one) < 1e6 for one in data
        )
        if not numbers or len(data) != 4:
            self.fail("not_a_box")
        return tuple(data)


class OptInField(serializers.BooleanField):
    """True unless said otherwise, in a form too, where the framework takes an absent field for a cleared checkbox."""

    default_empty_html = empty


class PictureSerializer(StrictSerializer):
    """A picture or strokes: exactly one of the two."""

    image = ImageField(
        required=False, help_text="PNG, JPEG, WebP, GIF (first frame), BMP or TIFF: a file, or in JSON a data URL."
    )
    crop = CropField(required=False)
    strokes = StrokesField(required=False)
    frame = serializers.FloatField(
        default=FRAME, min_value=1, max_value=100_000, help_text="Side of the square canvas, in the strokes' units."
    )

    def validate(self, attrs: dict) -> dict:
        if ("image" in attrs) == ("strokes" in attrs):
            raise serializers.ValidationError("Send either `image` or `strokes`.")
        if "crop" in attrs and "image" not in attrs:
            raise serializers.ValidationError({"crop": ["Only a picture can be cropped, strokes cannot."]})
        return attrs


class NewSubmissionSerializer(PictureSerializer):
    may_train = OptInField(default=True, help_text="False: the site may not learn from it.")
