"""Serializers of submissions, batches and share links."""

from typing import Any
from urllib.parse import quote_plus

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from recognizer.models import Source, Submission, SubmissionState, TruthState, TruthValue
from recognizer.services.identity import permissions

from .predictions import PredictionSerializer
from .problems import ProblemSerializer


class SubmissionUrlField(serializers.HyperlinkedIdentityField):
    """URL of a view of the submission, with the key in the context, if one gives access."""

    lookup_field = "public_id"

    def get_url(self, *args: Any, **kwargs: Any) -> str | None:
        """Return the URL."""
        url, key = super().get_url(*args, **kwargs), self.context.get("key", "")
        return f"{url}?key={quote_plus(key)}" if key else url


class SubmissionSerializer(serializers.Serializer[Submission]):
    """A submission with its latest prediction.

    Context: `request`; `key`, when a read or share key gives access: the URLs in the result then carry it too.
    """

    id = serializers.CharField(source="public_id")
    url = SubmissionUrlField(view_name="api-submission")
    page = SubmissionUrlField(view_name="submission", help_text="Its HTML page.")
    image = SubmissionUrlField(view_name="api-submission-image", help_text="The stored image.")
    pixels = SubmissionUrlField(view_name="api-submission-pixels", help_text="The model's input of 28 x 28, as PNG.")
    created = serializers.DateTimeField()
    source = serializers.ChoiceField(choices=Source.choices)  # type: ignore[assignment] # an attribute of Field
    state = serializers.ChoiceField(choices=SubmissionState.choices)
    failure = serializers.CharField(help_text="Why there is no prediction, in the state `failed`; else empty.")
    mine = serializers.SerializerMethodField(help_text="Whether the caller sent it.")
    may_train = serializers.BooleanField()
    width = serializers.IntegerField(source="picture_width", help_text="Of the stored image.")
    height = serializers.IntegerField(source="picture_height", help_text="Of the stored image.")
    crop = serializers.ListField(
        child=serializers.IntegerField(), allow_null=True, help_text="In pixels of the stored image."
    )
    truth = serializers.SerializerMethodField(help_text="The label consensus; null if there is none.")
    truth_state = serializers.ChoiceField(choices=TruthState.choices)
    prediction = PredictionSerializer(source="latest_prediction", allow_null=True)

    def to_representation(self, submission: Submission) -> dict[str, Any]:
        """Serialize the submission; its prediction looks up its reading there, without a query."""
        if submission.latest_prediction is not None:
            submission.latest_prediction.submission = submission
        return super().to_representation(submission)

    def get_mine(self, submission: Submission) -> bool:
        """True if the caller sent it."""
        return permissions.owns(self.context["request"].actor, submission)

    @extend_schema_field(serializers.ChoiceField(choices=TruthValue.choices, allow_null=True))
    def get_truth(self, submission: Submission) -> str | None:
        """The label consensus; null if there is none."""
        return submission.truth or None


class StoredSubmissionSerializer(SubmissionSerializer):
    """The response to a new submission."""

    read_key = serializers.SerializerMethodField(
        help_text="As `?key=` it gives read access to this submission without an account, until it is revoked."
    )
    manage_key = serializers.SerializerMethodField(
        help_text="In the header `X-Manage-Key` it allows to correct, share and delete this submission. No other "
        "response contains it. Null for a caller with an account or a cookie, who needs none."
    )

    def get_read_key(self, _submission: Submission) -> str:
        """The read key, computed by the view, which needs it for `Location` too."""
        key: str = self.context["read_key"]
        return key

    @extend_schema_field({"type": ["string", "null"]})
    def get_manage_key(self, _submission: Submission) -> None:
        """Null here. The view adds the key after the response was stored for `Idempotency-Key`: no row contains it."""


class BatchItemSerializer(serializers.Serializer[Any]):
    """The result for one image of a batch."""

    status = serializers.IntegerField(help_text="201, 202 or the status of the problem, as for a single image.")
    submission = StoredSubmissionSerializer(required=False, help_text="If it was stored.")
    problem = ProblemSerializer(required=False, help_text="If it was not stored.")


@extend_schema_field({"type": "array", "items": {}})
class _StoredListField(serializers.JSONField):
    """A list that was validated before it was stored."""


class SubmissionDetailSerializer(SubmissionSerializer):
    """A submission with its strokes, image features and fold."""

    strokes = _StoredListField(help_text="In a frame of 280 x 280; null if none were sent.", allow_null=True)
    pen = _StoredListField(help_text="Pen width of each stroke, in the same frame; null if not sent.", allow_null=True)
    ink = serializers.JSONField(help_text="Image features measured by preprocessing.")
    fold = serializers.CharField(help_text="`holdout` is used for evaluation and never for training.")


class ShareSerializer(serializers.Serializer[Submission]):
    """The share link of a submission."""

    key = serializers.CharField(
        source="share_key", help_text="As `?key=` it gives access to this submission until the link is revoked."
    )
    page = SubmissionUrlField(view_name="submission", help_text="The link to the HTML page.")
    url = SubmissionUrlField(view_name="api-submission", help_text="The link in the API.")
