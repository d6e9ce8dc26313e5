"""Serializers of predictions, previews and explanations."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ml.readings import ReadingKind
from ml.versions import SIDE
from recognizer.models import Prediction, Verdict

READING_KINDS = [(kind.value, kind.value) for kind in ReadingKind]


def _probabilities(**options: Any) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.FloatField(min_value=0, max_value=1),
        min_length=10,
        max_length=10,
        help_text="Calibrated probabilities of the digits 0 to 9.",
        **options,
    )


class AnswerSerializer(serializers.Serializer[Any]):
    """The prediction of a model for an image."""

    verdict = serializers.ChoiceField(choices=Verdict.choices, help_text="Quality of the prediction.")
    digit = serializers.IntegerField(min_value=0, max_value=9, help_text="The most probable digit, for any verdict.")
    certainty = serializers.FloatField(min_value=0, max_value=1, help_text="The probability of `digit`.")
    runner_up = serializers.IntegerField(min_value=0, max_value=9)
    probabilities = _probabilities()
    energy = serializers.FloatField(help_text="Energy score; high for inputs that do not look like a digit.")
    doubt = serializers.FloatField(min_value=0, max_value=1, help_text="0 certain … 1 doubtful.")


class PredictionSerializer(AnswerSerializer):
    """The prediction of one model version for one crop of a submission."""

    id = serializers.IntegerField(source="pk")
    version = serializers.IntegerField(source="version.number", help_text="Number of the model version.")
    preprocessing_version = serializers.IntegerField()
    crop = serializers.ListField(
        child=serializers.IntegerField(),
        source="crop_box",
        allow_null=True,
        help_text="The crop that was read, in pixels of the stored image.",
    )
    created = serializers.DateTimeField()
    milliseconds = serializers.FloatField(help_text="Inference time: this image's share of its batch.")
    reading = serializers.SerializerMethodField(
        help_text="How the model's input was derived: `plain`, `padded` (background added around ink at the edge), "
        "`lines` (with lines that may be ruling), `unmarked` (without a frame, circle or underline), `sheet` (the "
        "sheet of paper in a photo), `filled` (the inside of an outline). Null if the input has changed since then."
    )

    @extend_schema_field(serializers.ChoiceField(choices=READING_KINDS, allow_null=True))
    def get_reading(self, prediction: Prediction) -> str | None:
        """Kind of the chosen reading; null if it is unknown."""
        return prediction.submission.reading_kind(prediction)


class PredictionOfSubmissionSerializer(PredictionSerializer):
    """A prediction in the history, with the id of its submission."""

    submission = serializers.CharField(source="submission.public_id")


class PreviewSerializer(serializers.Serializer[Any]):
    """A prediction that was not stored. All numbers are null for a blank image."""

    verdict = serializers.ChoiceField(choices=Verdict.choices)
    digit = serializers.IntegerField(min_value=0, max_value=9, allow_null=True)
    certainty = serializers.FloatField(min_value=0, max_value=1, allow_null=True)
    runner_up = serializers.IntegerField(min_value=0, max_value=9, allow_null=True)
    probabilities = _probabilities(allow_null=True)
    energy = serializers.FloatField(allow_null=True)
    doubt = serializers.FloatField(min_value=0, max_value=1, allow_null=True)
    reading = serializers.ChoiceField(choices=READING_KINDS, help_text="As in a stored prediction.")
    pixels = serializers.ListField(
        child=serializers.ListField(
            child=serializers.IntegerField(min_value=0, max_value=255), min_length=SIDE, max_length=SIDE
        ),
        min_length=SIDE,
        max_length=SIDE,
        help_text="The model's input: 28 rows of 28 grey values, white ink on black.",
    )


class ExplanationSerializer(serializers.Serializer[Any]):
    """The contribution of each pixel to a prediction."""

    model_version = serializers.IntegerField(help_text="Number of the version of the latest prediction.")
    digit = serializers.IntegerField(min_value=0, max_value=9, help_text="The predicted digit that is explained.")
    leaning = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField(), min_length=SIDE, max_length=SIDE),
        min_length=SIDE,
        max_length=SIDE,
        help_text="28 rows of 28 numbers in -1..1: ink at a positive pixel supports the prediction, at a negative one "
        "it speaks against it.",
    )
