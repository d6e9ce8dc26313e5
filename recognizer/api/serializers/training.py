"""How training runs and deployments look in the JSON API, and what may be asked of them."""

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from recognizer.models import Deployment, RunState, TrainingRun
from recognizer.services.training.scheduling import RECIPES

from .inputs import StrictSerializer


class TrainingRunSerializer(serializers.Serializer):
    """One attempt to make a better model."""

    id = serializers.IntegerField(source="pk")
    url = serializers.SerializerMethodField()
    trigger = serializers.ChoiceField(choices=TrainingRun.Trigger.choices)
    requested_by = serializers.CharField(source="requested_by.username", default=None, allow_null=True)
    state = serializers.ChoiceField(choices=RunState.choices)
    created = serializers.DateTimeField()
    started = serializers.DateTimeField(allow_null=True)
    heartbeat = serializers.DateTimeField(allow_null=True, help_text="When the trainer was last heard of.")
    finished = serializers.DateTimeField(allow_null=True)
    cancel_requested = serializers.BooleanField()
    recipe = serializers.JSONField()
    labels = serializers.IntegerField(help_text="Settled labels that could train when it was begun.")
    progress = serializers.JSONField(help_text="Step, share of the whole (0..1), epoch, batch, figures so far.")
    reasons = serializers.ListField(child=serializers.CharField(), help_text="Why it was refused, stopped or failed.")
    version = serializers.IntegerField(
        source="version.number", default=None, allow_null=True, help_text="Number of the model version that it made."
    )

    @extend_schema_field({"type": "string", "format": "uri"})
    def get_url(self, run: TrainingRun) -> str:
        return self.context["request"].build_absolute_uri(reverse("api-training-run", args=[run.pk]))


class TrainingRunDetailSerializer(TrainingRunSerializer):
    log = serializers.JSONField(help_text="`[[when, line], …]`")


class NewTrainingRunSerializer(StrictSerializer):
    recipe = serializers.ChoiceField(
        choices=RECIPES, default=RECIPES[0], help_text="`site` goes on from the live model; the other starts afresh."
    )
    seed = serializers.IntegerField(
        default=1, min_value=0, max_value=2**31 - 1, help_text="Another one trains again on the same labels."
    )


class DeploymentSerializer(serializers.Serializer):
    """One change of the live version. The newest says what is live."""

    sequence = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Deployment.Kind.choices)
    from_version = serializers.IntegerField(source="from_version.number", default=None, allow_null=True)
    to_version = serializers.IntegerField(source="to_version.number")
    who = serializers.CharField(source="who.username", default=None, allow_null=True)
    why = serializers.CharField()
    created = serializers.DateTimeField()


class RollBackSerializer(StrictSerializer):
    why = serializers.CharField(default="", allow_blank=True, max_length=1000)
    seen = serializers.IntegerField(
        default=None,
        allow_null=True,
        help_text="Sequence number of the deployment that was decided upon: if another came since, nothing changes.",
    )


class PromoteSerializer(RollBackSerializer):
    force = serializers.BooleanField(default=False, help_text="Although the gate refused it; `why` is needed then.")
