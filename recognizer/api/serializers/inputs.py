"""Serializers of images that clients send, as a form, as JSON or as query parameters next to the file itself."""

from typing import Any

from rest_framework import serializers

from ml.preprocessing import FRAME
from ml.serving.images import FORMAT_NAMES

from .fields import CropField, DataUrlField, FileField, PenField, PixelsField, StrictSerializer, StrokesField

FORMATS = f"{', '.join(FORMAT_NAMES[:-1])} or {FORMAT_NAMES[-1]}; of several frames the first that is not empty"


class PictureFileSerializer(StrictSerializer):
    """Options of an image that is the body itself, as query parameters."""

    crop = CropField(required=False)


class PictureFormSerializer(StrictSerializer):
    """An image as a file."""

    image = FileField(help_text=f"{FORMATS}.")
    crop = CropField(required=False, help_text="As JSON text.")


class PictureJsonSerializer(StrictSerializer):
    """An image as a data URL, 28 x 28 grey values, or strokes: exactly one of the three."""

    image = DataUrlField(required=False, help_text=f"{FORMATS}; as a data URL.")
    crop = CropField(required=False)
    pixels = PixelsField(required=False)
    strokes = StrokesField(required=False)
    frame = serializers.FloatField(
        default=FRAME, min_value=1, max_value=100_000, help_text="Side of the square canvas, in units of the strokes."
    )
    pen = PenField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check that exactly one input is present and that the options belong to it."""
        if sum(name in attrs for name in ("image", "pixels", "strokes")) != 1:
            raise serializers.ValidationError("Send either `image`, `pixels` or `strokes`.")
        if "crop" in attrs and "image" not in attrs:
            raise serializers.ValidationError({"crop": ["Only a picture can be cropped."]})
        if "pen" in attrs and "strokes" not in attrs:
            raise serializers.ValidationError({"pen": ["Only strokes have a pen."]})
        return attrs


class CropSerializer(StrictSerializer):
    """A new crop of a submission."""

    crop = CropField(
        allow_null=True,
        help_text="Left, top, right and bottom edge of the digit, in pixels of the stored image (`width` x `height`). "
        "Null: the whole image.",
    )


def _may_train() -> serializers.BooleanField:
    return serializers.BooleanField(default=True, help_text="False: the site may not use it for training.")


class NewSubmissionFileSerializer(PictureFileSerializer):
    """Options of an image to be stored that is the body itself, as query parameters."""

    may_train = _may_train()


class NewSubmissionFormSerializer(PictureFormSerializer):
    """An image to be stored, as a file; or up to 100, each as a part `image`, all with the same `may_train`."""

    may_train = _may_train()


class NewSubmissionJsonSerializer(PictureJsonSerializer):
    """An image to be stored: a data URL, 28 x 28 grey values, or strokes, exactly one of the three."""

    may_train = _may_train()
