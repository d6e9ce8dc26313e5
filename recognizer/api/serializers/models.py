"""Serializers of model versions and of counts."""

from typing import Any

from rest_framework import serializers

from recognizer.models import GateVerdict, ModelVersion, Origin


class ModelVersionSerializer(serializers.Serializer[ModelVersion]):
    """A model version without its files."""

    number = serializers.IntegerField()
    live = serializers.SerializerMethodField(help_text="Whether it is the live version.")
    created = serializers.DateTimeField()
    origin = serializers.ChoiceField(choices=Origin.choices)
    parent = serializers.IntegerField(  # type: ignore[assignment] # an attribute of Field has the same name
        source="parent.number", default=None, allow_null=True
    )
    preprocessing_version = serializers.IntegerField(source="manifest.preprocessing_version")
    keras_sha256 = serializers.CharField()
    bundle_sha256 = serializers.CharField()
    recipe = serializers.JSONField()
    counts = serializers.JSONField(help_text="Number of training examples of each kind.")
    metrics = serializers.JSONField()
    gate_verdict = serializers.ChoiceField(choices=GateVerdict.choices)

    def get_live(self, version: ModelVersion) -> bool:
        """True if it is the live version."""
        return bool(version.pk == self.context["live"])


class ModelVersionDetailSerializer(ModelVersionSerializer):
    """A model version with its training history and gate checks."""

    manifest = serializers.JSONField()
    history = serializers.JSONField(help_text="Accuracy and loss of every epoch.")
    gate = serializers.JSONField(help_text="Every check of the promotion gate with its metrics.")


def _counts(**options: Any) -> serializers.DictField:
    return serializers.DictField(child=serializers.IntegerField(), **options)


class StatsSerializer(serializers.Serializer[Any]):
    """Counts of submissions."""

    live_version = serializers.IntegerField(help_text="Number of the live model version.")
    submissions = serializers.IntegerField()
    by_state = _counts()
    by_source = _counts()
    by_truth_state = _counts()
    by_digit = _counts(help_text="By the digit of the latest prediction.")
    by_verdict = _counts()
    settled = serializers.IntegerField(help_text="Submissions with a prediction and a settled label consensus.")
    settled_correct = serializers.IntegerField(
        help_text="Those of `settled` whose prediction is correct. Reviewers see doubtful ones first, so the quotient "
        "is not the accuracy on real traffic."
    )
