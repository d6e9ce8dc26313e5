"""Training runs: start, list, read, cancel. Operators only."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.http.problems import ProblemError
from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.training import (
    NewTrainingRunSerializer,
    TrainingRunDetailSerializer,
    TrainingRunSerializer,
)
from recognizer.api.views.base import ListView, OperatorView
from recognizer.filters import TrainingRunFilter
from recognizer.models import TrainingRun
from recognizer.services import training


class _TrainingRunView(OperatorView):
    serializer_class = TrainingRunSerializer

    def get_queryset(self) -> QuerySet[TrainingRun]:
        """Return all training runs with account and version, after those of lost processes were ended."""
        training.expire_stale()
        return TrainingRun.objects.select_related("requested_by", "version")


@describe_list(
    operation_id="list_training_runs",
    tags=["models"],
    description="List training runs, newest first. For operators.",
    problem=[403],
)
class TrainingRunsView(_TrainingRunView, ListView):
    """List of training runs."""

    filterset_class = TrainingRunFilter

    def get_queryset(self) -> QuerySet[TrainingRun]:
        """Leave out the logs."""
        return super().get_queryset().defer("log")

    @extend_schema(
        operation_id="start_training_run",
        tags=["models"],
        request=NewTrainingRunSerializer,
        responses={201: TrainingRunSerializer, **problems(400, 403, 409, 415)},
    )
    def post(self, _request: Request) -> Response:
        """Start a training run. For operators.

        `Location` is the URL of the run. Only one run is active at a time; 409 names the active run.
        """
        params = self.validated_body(NewTrainingRunSerializer)
        run = training.request_run(actor=self.actor, **params)
        body = self.get_serializer(run).data
        return Response(body, status=201, headers={"Location": body["url"]})


@extend_schema_view(
    get=extend_schema(
        operation_id="read_training_run",
        tags=["models"],
        description="Return a training run with its log. For operators.",
        responses={200: TrainingRunDetailSerializer, **problems(403, 404)},
    )
)
class TrainingRunView(_TrainingRunView, RetrieveAPIView[TrainingRun]):
    """One training run."""

    serializer_class = TrainingRunDetailSerializer


class CancelTrainingRunView(_TrainingRunView):
    """Cancellation of a training run."""

    @extend_schema(
        operation_id="cancel_training_run",
        tags=["models"],
        request=None,
        responses={202: TrainingRunSerializer, **problems(403, 404, 409)},
    )
    def post(self, _request: Request, pk: int) -> Response:
        """Cancel a training run. It stops within seconds and stores no model. For operators."""
        run = self.get_object()
        if not training.cancel(actor=self.actor, run=run):
            raise ProblemError("conflict", f"Training run {pk} has ended already.")
        run.refresh_from_db()
        return Response(self.get_serializer(run).data, status=202)
