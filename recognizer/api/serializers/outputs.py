"""How rows look in the JSON API. The words are the database's own."""

from functools import cache
from urllib.parse import quote_plus

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from recognizer.models import (
    GateVerdict,
    Label,
    LabelKind,
    LabelReason,
    ModelVersion,
    Origin,
    Source,
    Submission,
    SubmissionState,
    TruthState,
    TruthValue,
    Verdict,
)
from recognizer.services.identity import permissions

from .fast import ShowingSerializer
from .inputs import StrictSerializer, TruthField


def _probabilities(**options: object) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.FloatField(min_value=0, max_value=1),
        min_length=10,
        max_length=10,
        help_text="Calibrated; of the digits 0 to 9.",
        **options,
    )


class ProblemSerializer(serializers.Serializer):
    """An error, in the form of RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField(help_text="The status in words.")
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What is wrong and what to do, for people.")
    code = serializers.CharField(help_text="What is wrong, for programs; it does not change.")
    errors = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()), required=False, help_text="Messages by field."
    )


class AnswerSerializer(ShowingSerializer):
    """What a model says of a picture."""

    verdict = serializers.ChoiceField(choices=Verdict.choices, help_text="What the answer is worth.")
    digit = serializers.IntegerField(min_value=0, max_value=9, help_text="The best guess, whatever the verdict.")
    certainty = serializers.FloatField(min_value=0, max_value=1, help_text="The probability of `digit`.")
    runner_up = serializers.IntegerField(min_value=0, max_value=9)
    probabilities = _probabilities()
    energy = serializers.FloatField(help_text="High for what does not look like a digit.")
    doubt = serializers.FloatField(min_value=0, max_value=1, help_text="0 certain … 1 doubtful.")


class PredictionSerializer(AnswerSerializer):
    """What one model version said of one submission."""

    id = serializers.IntegerField(source="pk")
    version = serializers.IntegerField(source="version.number", help_text="Number of the model version.")
    preprocessing_version = serializers.IntegerField()
    created = serializers.DateTimeField()
    milliseconds = serializers.FloatField(help_text="What the model took for it, as a share of its batch.")


class PredictionOfSubmissionSerializer(PredictionSerializer):
    """A prediction in the history, with the submission that it is about."""

    submission = serializers.CharField(source="submission.public_id")


class PreviewSerializer(serializers.Serializer):
    """An answer that was not stored. All figures are null for a blank picture."""

    verdict = serializers.ChoiceField(choices=Verdict.choices)
    digit = serializers.IntegerField(min_value=0, max_value=9, allow_null=True)
    certainty = serializers.FloatField(min_value=0, max_value=1, allow_null=True)
    runner_up = serializers.IntegerField(min_value=0, max_value=9, allow_null=True)
    probabilities = _probabilities(allow_null=True)
    energy = serializers.FloatField(allow_null=True)
    doubt = serializers.FloatField(min_value=0, max_value=1, allow_null=True)
    pixels = serializers.ListField(
        child=serializers.ListField(
            child=serializers.IntegerField(min_value=0, max_value=255), min_length=28, max_length=28
        ),
        min_length=28,
        max_length=28,
        help_text="The 28 x 28 that the model saw, row by row, white ink on black.",
    )


ANY_ID = "ANY-ID"


def submission_path(name: str, submission: Submission) -> str:
    """The path of the submission's view `name`."""
    return _pattern(name).replace(ANY_ID, submission.public_id)


@cache
def _pattern(name: str) -> str:
    """The path for ANY_ID: to work it out anew takes a third of the time of a row."""
    return reverse(name, args=[ANY_ID])


class SubmissionSerializer(ShowingSerializer):
    """A submission with its latest prediction.

    Context: `request`; `key`, when a read or share key opens it, which the addresses inside then carry too.
    """

    id = serializers.CharField(source="public_id")
    url = serializers.SerializerMethodField()
    page = serializers.SerializerMethodField(help_text="Its page for people.")
    image = serializers.SerializerMethodField(help_text="The kept picture.")
    pixels = serializers.SerializerMethodField(help_text="The 28 x 28 that the model saw, as PNG.")
    created = serializers.DateTimeField()
    source = serializers.ChoiceField(choices=Source.choices)
    state = serializers.ChoiceField(choices=SubmissionState.choices)
    failure = serializers.CharField(help_text="Why there is no prediction, in the state `failed`; else empty.")
    mine = serializers.SerializerMethodField(help_text="Whether the caller sent it.")
    may_train = serializers.BooleanField()
    width = serializers.IntegerField(source="picture_width", help_text="Of the kept picture.")
    height = serializers.IntegerField(source="picture_height", help_text="Of the kept picture.")
    crop = serializers.ListField(
        child=serializers.IntegerField(), allow_null=True, help_text="In the kept picture's pixels."
    )
    truth = serializers.SerializerMethodField(help_text="What people say that it shows, as far as they agree.")
    truth_state = serializers.ChoiceField(choices=TruthState.choices)
    prediction = PredictionSerializer(source="latest_prediction", allow_null=True)

    @extend_schema_field({"type": "string", "format": "uri"})
    def get_url(self, submission: Submission) -> str:
        return self._address("api-submission", submission)

    @extend_schema_field({"type": "string", "format": "uri"})
    def get_page(self, submission: Submission) -> str:
        return self._address("submission", submission)

    @extend_schema_field({"type": "string", "format": "uri"})
    def get_image(self, submission: Submission) -> str:
        return self._address("api-submission-image", submission)

    @extend_schema_field({"type": "string", "format": "uri"})
    def get_pixels(self, submission: Submission) -> str:
        return self._address("api-submission-pixels", submission)

    def get_mine(self, submission: Submission) -> bool:
        return permissions.owns(self.context["request"].actor, submission)

    @extend_schema_field(serializers.ChoiceField(choices=TruthValue.choices, allow_null=True))
    def get_truth(self, submission: Submission) -> str | None:
        return submission.truth or None

    def _address(self, name: str, submission: Submission) -> str:
        context = self.context
        key = context.get("key", "")
        of, root, query = context.get("ends", (None, "", ""))
        if of != key:
            # What the addresses of one submission have in common: where they begin, and the key at their end.
            request = context["request"]
            root, query = f"{request.scheme}://{request.get_host()}", f"?key={quote_plus(key)}" if key else ""
            context["ends"] = key, root, query
        return root + submission_path(name, submission) + query


class StoredSubmissionSerializer(SubmissionSerializer):
    """The answer to sending one."""

    read_key = serializers.SerializerMethodField(
        help_text="With `?key=` it reads this one submission, without account, until it is revoked."
    )
    manage_key = serializers.SerializerMethodField(
        help_text="In the header `X-Manage-Key` it corrects, shares and deletes this one submission. No other response "
        "has it; null for a caller with an account or a cookie, who needs none."
    )

    def get_read_key(self, _submission: Submission) -> str:
        return self.context["read_key"]  # which whoever made the submission has already worked out

    @extend_schema_field({"type": ["string", "null"]})
    def get_manage_key(self, _submission: Submission) -> None:
        return None  # added by the view once the response is stored for its idempotency key: no row holds it


class BatchItemSerializer(serializers.Serializer):
    """What became of one of several that were sent together."""

    status = serializers.IntegerField(help_text="201, 202, or that of the problem: what it would have got by itself.")
    submission = StoredSubmissionSerializer(required=False, help_text="Where it was stored.")
    problem = ProblemSerializer(required=False, help_text="Where it was not.")


@extend_schema_field({"type": "array", "items": {}})
class _ListAsStored(serializers.JSONField):
    """A list that was checked when it was stored."""


class SubmissionDetailSerializer(SubmissionSerializer):
    """One submission, whole."""

    strokes = _ListAsStored(help_text="In a frame of 280 x 280; null where none were sent.", allow_null=True)
    pen = _ListAsStored(
        help_text="Its width for each stroke, in the same frame; null where none was named.", allow_null=True
    )
    ink = serializers.JSONField(help_text="What preprocessing measured of the ink.")
    fold = serializers.CharField(help_text="`holdout` never trains: it measures.")


class ShareSerializer(ShowingSerializer):
    """The share link of a submission."""

    key = serializers.CharField(help_text="With `?key=` it opens this one submission, until the link is taken back.")
    page = serializers.SerializerMethodField(help_text="The link: its page for people.")
    url = serializers.SerializerMethodField(help_text="The same for programs.")

    @extend_schema_field({"type": "string", "format": "uri"})
    def get_page(self, shared: dict) -> str:
        return self._address(shared["submission"].get_absolute_url(), shared["key"])

    @extend_schema_field({"type": "string", "format": "uri"})
    def get_url(self, shared: dict) -> str:
        return self._address(reverse("api-submission", args=[shared["submission"].public_id]), shared["key"])

    def _address(self, path: str, key: str) -> str:
        return self.context["request"].build_absolute_uri(f"{path}?key={key}")


class LabelSerializer(ShowingSerializer):
    """One word of one person about a submission."""

    id = serializers.IntegerField(source="pk")
    submission = serializers.CharField(source="submission.public_id")
    kind = serializers.ChoiceField(
        choices=LabelKind.choices, help_text="A reviewer's word is a review, others suggest."
    )
    value = serializers.SerializerMethodField(help_text="Null for a retraction.")
    retracts = serializers.IntegerField(source="retracts_id", allow_null=True, help_text="Id of the label taken back.")
    reason = serializers.ChoiceField(
        choices=LabelReason.choices, help_text="Why the submission was in front of that person."
    )
    created = serializers.DateTimeField()
    mine = serializers.SerializerMethodField(help_text="Whether the caller said it.")
    by = serializers.SerializerMethodField(help_text="Name of the account; reviewers and operators see it.")

    @extend_schema_field(serializers.ChoiceField(choices=TruthValue.choices, allow_null=True))
    def get_value(self, label: Label) -> str | None:
        return label.value or None

    def get_mine(self, label: Label) -> bool:
        return permissions.is_own_label(self.context["request"].actor, label)

    @extend_schema_field({"type": ["string", "null"]})
    def get_by(self, label: Label) -> str | None:
        if label.user is None or not self._names_are_shown:
            return None
        return label.user.get_username()

    @property
    def _names_are_shown(self) -> bool:
        if "names" not in self.context:
            actor = self.context["request"].actor
            self.context["names"] = actor.is_reviewer or actor.is_operator
        return self.context["names"]


class NewLabelSerializer(StrictSerializer):
    """What the caller says that a submission shows."""

    value = TruthField()
    reason = serializers.ChoiceField(
        choices=[
            (one.value, one.label) for one in (LabelReason.API, LabelReason.OWN_PAGE, LabelReason.SUBMISSION_PAGE)
        ],
        default=LabelReason.API,
        help_text="Where the person saw it.",
    )


class ModelVersionSerializer(ShowingSerializer):
    """A model version; its files are not here."""

    number = serializers.IntegerField()
    live = serializers.SerializerMethodField(help_text="Whether it answers now.")
    created = serializers.DateTimeField()
    origin = serializers.ChoiceField(choices=Origin.choices)
    parent = serializers.IntegerField(source="parent.number", default=None, allow_null=True)
    preprocessing_version = serializers.IntegerField(source="manifest.preprocessing_version")
    keras_sha256 = serializers.CharField()
    bundle_sha256 = serializers.CharField()
    recipe = serializers.JSONField()
    counts = serializers.JSONField(help_text="How many examples of each kind it learned from.")
    metrics = serializers.JSONField()
    gate_verdict = serializers.ChoiceField(choices=GateVerdict.choices)

    def get_live(self, version: ModelVersion) -> bool:
        return version.pk == self.context["live"]


class ModelVersionDetailSerializer(ModelVersionSerializer):
    """A model version with its curves and checks."""

    manifest = serializers.JSONField()
    history = serializers.JSONField(help_text="Accuracy and loss of every epoch.")
    gate = serializers.JSONField(help_text="Every check of the gate with its figures.")


def _counts(**options: object) -> serializers.DictField:
    return serializers.DictField(child=serializers.IntegerField(), **options)


class StatsSerializer(ShowingSerializer):
    """Counts of submissions."""

    live_version = serializers.IntegerField(help_text="Number of the model version that answers now.")
    submissions = serializers.IntegerField()
    by_state = _counts()
    by_source = _counts()
    by_truth_state = _counts()
    by_digit = _counts(help_text="By the digit that was read last.")
    by_verdict = _counts()
    settled = serializers.IntegerField(help_text="Answered ones whose truth is settled.")
    settled_correct = serializers.IntegerField(
        help_text="How many of these were read right. Reviewers see doubtful ones first: no accuracy on real traffic."
    )
