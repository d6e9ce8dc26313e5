"""Training runs: start, list, read, cancel. Operators only."""

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from recognizer.api.http.problems import Conflict
from recognizer.api.http.requests import ApiRequest
from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.training import (
    NewTrainingRunSerializer,
    TrainingRunDetailSerializer,
    TrainingRunSerializer,
)
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import TrainingRunFilter
from recognizer.models import Scope, TrainingRun
from recognizer.services import training
from recognizer.services.identity import permissions


class TrainingRunsView(ListView):
    """List of training runs."""

    scopes = {"GET": (Scope.OPERATE,), "POST": (Scope.OPERATE,)}
    filterset_class = TrainingRunFilter
    serializer_class = TrainingRunSerializer

    def rows(self) -> QuerySet[TrainingRun]:
        """Return all runs without their logs."""
        training.expire_stale()
        return training_runs().defer("log")

    @describe_list(
        TrainingRunFilter, TrainingRunSerializer, operation_id="list_training_runs", tags=["models"], problem=[403]
    )
    def get(self, request: ApiRequest) -> Response:
        """List training runs, newest first. For operators."""
        permissions.require_operator(self.actor)
        return super().get(request)

    @extend_schema(
        operation_id="start_training_run",
        tags=["models"],
        request=NewTrainingRunSerializer,
        responses={201: TrainingRunSerializer, **problems(400, 403, 409, 415)},
    )
    def post(self, request: ApiRequest) -> Response:
        """Start a training run. For operators.

        `Location` is the URL of the run. Only one run is active at a time; 409 names the active run.
        """
        permissions.require_operator(self.actor)
        params = self.validated_body(NewTrainingRunSerializer)
        try:
            run = training.request_run(trigger=TrainingRun.Trigger.PERSON, actor=self.actor, **params)
        except training.CannotTrainError as error:
            raise Conflict(str(error)) from error
        body = TrainingRunSerializer(run, context={"request": request}).data
        return Response(body, status=201, headers={"Location": body["url"]})


class TrainingRunView(ApiView):
    """One training run."""

    scopes = {"GET": (Scope.OPERATE,)}

    @extend_schema(
        operation_id="read_training_run",
        tags=["models"],
        responses={200: TrainingRunDetailSerializer, **problems(403, 404)},
    )
    def get(self, request: ApiRequest, pk: int) -> Response:
        """Return a training run with its log. For operators."""
        training.expire_stale()
        run = find_run(self, pk)
        return Response(TrainingRunDetailSerializer(run, context={"request": request}).data)


class CancelTrainingRunView(ApiView):
    """Cancellation of a training run."""

    scopes = {"POST": (Scope.OPERATE,)}

    @extend_schema(
        operation_id="cancel_training_run",
        tags=["models"],
        request=None,
        responses={202: TrainingRunSerializer, **problems(403, 404, 409)},
    )
    def post(self, request: ApiRequest, pk: int) -> Response:
        """Cancel a training run. It stops within seconds and stores no model. For operators."""
        run = find_run(self, pk)
        if not training.cancel(actor=self.actor, run=run):
            raise Conflict(f"Training run {pk} has ended already.")
        run.refresh_from_db()
        return Response(TrainingRunSerializer(run, context={"request": request}).data, status=202)


def find_run(view: ApiView, pk: int) -> TrainingRun:
    """Return a training run for an operator.

    Raises:
        NotAllowedError: The caller is not an operator.
        Http404: The run does not exist.
    """
    permissions.require_operator(view.actor)
    run = training_runs().filter(pk=pk).first()
    if run is None:
        raise Http404
    return run


def training_runs() -> QuerySet[TrainingRun]:
    """Return all training runs with account and version."""
    return TrainingRun.objects.select_related("requested_by", "version")
