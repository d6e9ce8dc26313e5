"""Serializers of the review queue."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from recognizer.models import LabelReason, TruthValue
from recognizer.services.review import queue
from recognizer.services.review.queue import ReviewItem

from .fields import IdField, ShortListField, StrictSerializer, TruthField
from .labels import LabelSerializer
from .predictions import AnswerSerializer


class ReviewItemSerializer(serializers.Serializer[ReviewItem]):
    """A submission in the review queue. A blind item hides the prediction and the labels of other people."""

    id = serializers.CharField(source="submission.public_id")
    page = serializers.CharField(source="submission.get_absolute_url", help_text="Path of its HTML page.")
    image = serializers.SerializerMethodField(help_text="The stored image.")
    pixels = serializers.SerializerMethodField(help_text="The model's input of 28 x 28, as PNG.")
    width = serializers.IntegerField(source="submission.picture_width")
    height = serializers.IntegerField(source="submission.picture_height")
    crop = serializers.ListField(child=serializers.IntegerField(), source="submission.crop", allow_null=True)
    reason = serializers.ChoiceField(choices=LabelReason.choices, help_text="Why it is in the queue.")
    why = serializers.CharField(help_text="The reason as text.")
    blind = serializers.BooleanField()
    demo = serializers.BooleanField(source="submission.demo", help_text="Created by the demo and not by a person.")
    answer = serializers.SerializerMethodField()
    suggestion = serializers.SerializerMethodField(help_text="The label that the visitor suggested.")

    def get_image(self, item: ReviewItem) -> str:
        """Path of the stored image."""
        return reverse("api-submission-image", args=[item.submission.public_id])

    def get_pixels(self, item: ReviewItem) -> str:
        """Path of the model's input."""
        return reverse("api-submission-pixels", args=[item.submission.public_id])

    @extend_schema_field(AnswerSerializer(allow_null=True))
    def get_answer(self, item: ReviewItem) -> dict[str, Any] | None:
        """The prediction; null for a blind item."""
        return None if item.answer is None else AnswerSerializer(item.answer).data

    @extend_schema_field(serializers.ChoiceField(choices=TruthValue.choices, allow_null=True))
    def get_suggestion(self, item: ReviewItem) -> str | None:
        """The label that the visitor suggested."""
        return item.suggestion or None


class ProgressSerializer(serializers.Serializer[Any]):
    """Progress of the caller and length of the queue."""

    today = serializers.IntegerField(help_text="Number of the caller's decisions today (UTC).")
    per_minute = serializers.FloatField(allow_null=True, help_text="The caller's decisions per minute, recently.")
    waiting = serializers.IntegerField(help_text="Submissions without a settled label consensus.")
    until_training = serializers.IntegerField(
        allow_null=True, help_text="Settled labels until the next training run; null if labels do not start one."
    )


class NextSerializer(StrictSerializer):
    """A request for the next items of the queue."""

    rule = serializers.ChoiceField(choices=[(rule.value, text) for rule, text in queue.RULES.items()], default="doubt")
    count = serializers.IntegerField(
        min_value=1,
        max_value=queue.MAX_BATCH_SIZE,
        default=1,
        help_text="Number of items, including those already leased to the caller.",
    )


class QueueSerializer(serializers.Serializer[Any]):
    """Leased items and the caller's progress."""

    items = ReviewItemSerializer(many=True)
    progress = ProgressSerializer()


class SubmissionNameSerializer(StrictSerializer):
    """A reference to a submission."""

    submission = IdField(help_text="Its id.")


class DecisionSerializer(SubmissionNameSerializer):
    """A reviewer's label for a submission."""

    value = TruthField()


class GridSerializer(StrictSerializer):
    """A request for items with the same predicted digit."""

    digit = serializers.IntegerField(min_value=0, max_value=9, help_text="Predicted digit of all items.")
    count = serializers.IntegerField(
        min_value=1, max_value=queue.MAX_BATCH_SIZE, default=queue.MAX_BATCH_SIZE, help_text="Maximum number of items."
    )


class GridItemsSerializer(serializers.Serializer[Any]):
    """Leased items with the same predicted digit."""

    items = ReviewItemSerializer(many=True)
    sizes = serializers.DictField(
        child=serializers.IntegerField(), help_text="Number of items that are available for a grid, by predicted digit."
    )


class SeveralDecisionsSerializer(StrictSerializer):
    """A list of decisions."""

    decisions = ShortListField(child=DecisionSerializer(), min_length=1, max_length=queue.MAX_BATCH_SIZE)


class SeveralDecidedSerializer(serializers.Serializer[Any]):
    """The labels of a list of decisions."""

    labels = LabelSerializer(many=True)
    missing = serializers.ListField(
        child=serializers.CharField(), help_text="Ids of submissions that do not exist or were deleted."
    )


class UndoneSerializer(serializers.Serializer[Any]):
    """The item whose decision was undone."""

    item = ReviewItemSerializer(allow_null=True, help_text="Null if the item is leased to another reviewer.")
