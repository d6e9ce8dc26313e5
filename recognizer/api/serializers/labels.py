"""Serializers of labels."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from recognizer.models import Label, LabelKind, LabelReason, TruthValue
from recognizer.services.identity import permissions

from .fields import StrictSerializer, TruthField


class LabelSerializer(serializers.Serializer[Label]):
    """The label that one person gave a submission."""

    id = serializers.IntegerField(source="pk")
    submission = serializers.CharField(source="submission.public_id")
    kind = serializers.ChoiceField(
        choices=LabelKind.choices, help_text="`review` for the label of a reviewer, `suggestion` for all others."
    )
    value = serializers.SerializerMethodField("get_label_value", help_text="Null for a retraction.")
    retracts = serializers.IntegerField(source="retracts_id", allow_null=True, help_text="Id of the retracted label.")
    reason = serializers.ChoiceField(
        choices=LabelReason.choices, help_text="Why the submission was shown to that person."
    )
    created = serializers.DateTimeField()
    mine = serializers.SerializerMethodField(help_text="Whether it is the caller's own label.")
    by = serializers.SerializerMethodField(help_text="Name of the account; only reviewers and operators see it.")

    @extend_schema_field(serializers.ChoiceField(choices=TruthValue.choices, allow_null=True))
    def get_label_value(self, label: Label) -> str | None:
        """The label; null for a retraction."""
        return label.value or None

    def get_mine(self, label: Label) -> bool:
        """True if it is the caller's own label."""
        return permissions.is_own_label(self.context["request"].actor, label)

    @extend_schema_field({"type": ["string", "null"]})
    def get_by(self, label: Label) -> str | None:
        """Name of the account; only reviewers and operators see it."""
        if label.user is None or not self.context["request"].actor.sees_all:
            return None
        return label.user.get_username()


class NewLabelSerializer(StrictSerializer):
    """A label for a submission."""

    value = TruthField()
    reason = serializers.ChoiceField(
        choices=[
            (reason.value, reason.label)
            for reason in (LabelReason.API, LabelReason.OWN_PAGE, LabelReason.SUBMISSION_PAGE)
        ],
        default=LabelReason.API,
        help_text="Where the person saw it.",
    )
