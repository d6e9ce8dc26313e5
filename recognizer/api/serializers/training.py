"""Serializers of training runs and deployments."""

from rest_framework import serializers

from recognizer.models import Deployment, RunState, TrainingRun
from recognizer.services.training.scheduling import RECIPES

from .fields import StrictSerializer


class TrainingRunSerializer(serializers.Serializer[TrainingRun]):
    """A training run."""

    id = serializers.IntegerField(source="pk")
    url = serializers.HyperlinkedIdentityField(view_name="api-training-run")
    trigger = serializers.ChoiceField(choices=TrainingRun.Trigger.choices)
    requested_by = serializers.CharField(source="requested_by.username", default=None, allow_null=True)
    state = serializers.ChoiceField(choices=RunState.choices)
    created = serializers.DateTimeField()
    started = serializers.DateTimeField(allow_null=True)
    heartbeat = serializers.DateTimeField(allow_null=True, help_text="Last heartbeat of the training process.")
    finished = serializers.DateTimeField(allow_null=True)
    cancel_requested = serializers.BooleanField()
    recipe = serializers.JSONField()
    labels = serializers.IntegerField(help_text="Settled labels available for training at the start.")
    progress = serializers.JSONField(help_text="Step, overall fraction (0..1), epoch, batch and current metrics.")
    reasons = serializers.ListField(
        child=serializers.CharField(), help_text="Why it was rejected, cancelled or failed."
    )
    version = serializers.IntegerField(
        source="version.number", default=None, allow_null=True, help_text="Number of the model version it produced."
    )


class TrainingRunDetailSerializer(TrainingRunSerializer):
    """A training run with its log."""

    log = serializers.JSONField(help_text="`[[time, line], …]`")


class NewTrainingRunSerializer(StrictSerializer):
    """A request for a training run."""

    recipe = serializers.ChoiceField(
        choices=RECIPES,
        default=RECIPES[0],
        help_text="`site` fine-tunes the live model; the other trains from scratch.",
    )
    seed = serializers.IntegerField(
        default=1, min_value=0, max_value=2**31 - 1, help_text="Another seed trains again on the same labels."
    )


class DeploymentSerializer(serializers.Serializer[Deployment]):
    """A change of the live version. The newest deployment defines which version is live."""

    sequence = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Deployment.Kind.choices)
    from_version = serializers.IntegerField(source="from_version.number", default=None, allow_null=True)
    to_version = serializers.IntegerField(source="to_version.number")
    who = serializers.CharField(source="who.username", default=None, allow_null=True)
    why = serializers.CharField()
    created = serializers.DateTimeField()


class RollBackSerializer(StrictSerializer):
    """The reason for a deployment and the state it was decided on."""

    why = serializers.CharField(default="", allow_blank=True, max_length=1000)
    seen = serializers.IntegerField(
        default=None,
        allow_null=True,
        help_text="Sequence number of the latest deployment that the caller knows. If there is a newer one, nothing "
        "changes.",
    )


class PromoteSerializer(RollBackSerializer):
    """The reason for a promotion, and whether to override the gate."""

    force = serializers.BooleanField(default=False, help_text="Override a rejection by the gate; requires `why`.")
