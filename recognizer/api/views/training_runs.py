"""Training runs: ask for one, watch it, cancel it. Operators only."""

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.http.problems import Conflict
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
    scopes = {"GET": (Scope.OPERATE,), "POST": (Scope.OPERATE,)}
    filterset_class = TrainingRunFilter
    serializer_class = TrainingRunSerializer

    def rows(self) -> QuerySet[TrainingRun]:
        training.expire_stale()
        return runs().defer("log")

    @describe_list(
        TrainingRunFilter, TrainingRunSerializer, operation_id="list_training_runs", tags=["models"], problem=[403]
    )
    def get(self, request: Request) -> Response:
        """Every training run, newest first. For operators."""
        permissions.require_operator(self.actor)
        return super().get(request)

    @extend_schema(
        operation_id="start_training_run",
        tags=["models"],
        request=NewTrainingRunSerializer,
        responses={201: TrainingRunSerializer, **problems(400, 403, 409, 415)},
    )
    def post(self, request: Request) -> Response:
        """Start a training. One runs at a time: 409 says which, and `Location` leads to it. For operators."""
        permissions.require_operator(self.actor)
        sent = self.validated_body(NewTrainingRunSerializer)
        try:
            run = training.request_run(trigger=TrainingRun.Trigger.PERSON, actor=self.actor, **sent)
        except training.CannotTrainError as error:
            raise Conflict(str(error)) from error
        body = TrainingRunSerializer(run, context={"request": request}).data
        return Response(body, status=201, headers={"Location": body["url"]})


class TrainingRunView(ApiView):
    scopes = {"GET": (Scope.OPERATE,)}

    @extend_schema(
        operation_id="read_training_run",
        tags=["models"],
        responses={200: TrainingRunDetailSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        """One training run with its log. For operators."""
        training.expire_stale()
        run = run_of(self, pk)
        return Response(TrainingRunDetailSerializer(run, context={"request": request}).data)


class CancelTrainingRunView(ApiView):
    scopes = {"POST": (Scope.OPERATE,)}

    @extend_schema(
        operation_id="cancel_training_run",
        tags=["models"],
        request=None,
        responses={202: TrainingRunSerializer, **problems(403, 404, 409)},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Ask a training run to stop; it does within seconds, and nothing is written. For operators."""
        run = run_of(self, pk)
        if not training.cancel(actor=self.actor, run=run):
            raise Conflict(f"Training run {pk} has ended already.")
        run.refresh_from_db()
        return Response(TrainingRunSerializer(run, context={"request": request}).data, status=202)


def run_of(view: ApiView, pk: int) -> TrainingRun:
    permissions.require_operator(view.actor)
    run = runs().filter(pk=pk).first()
    if run is None:
        raise Http404
    return run


def runs() -> QuerySet[TrainingRun]:
    return TrainingRun.objects.select_related("requested_by", "version")
