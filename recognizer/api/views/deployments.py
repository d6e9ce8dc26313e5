"""Deployments: history, promotion, rollback and model files. Operators only."""

from collections.abc import Callable

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.response import Response

from recognizer.api.http.problems import Conflict
from recognizer.api.http.requests import ApiRequest
from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.training import DeploymentSerializer, PromoteSerializer, RollBackSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import DeploymentFilter
from recognizer.models import Deployment, ModelVersion, Scope
from recognizer.services.identity import permissions
from recognizer.services.registry import deployments, versions

FILE_RESPONSES = {(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY), **problems(403, 404, 409)}


class DeploymentsView(ListView):
    """History of deployments."""

    scopes = {"GET": (Scope.OPERATE,)}
    filterset_class = DeploymentFilter
    serializer_class = DeploymentSerializer

    def rows(self) -> QuerySet[Deployment]:
        """Return all deployments with versions and account."""
        return Deployment.objects.select_related("from_version", "to_version", "who")

    @describe_list(
        DeploymentFilter, DeploymentSerializer, operation_id="list_deployments", tags=["models"], problem=[403]
    )
    def get(self, request: ApiRequest) -> Response:
        """List deployments, newest first. For operators."""
        permissions.require_operator(self.actor)
        return super().get(request)


class PromoteView(ApiView):
    """Promotion of a version."""

    scopes = {"POST": (Scope.OPERATE,)}
    max_body_bytes = 16 * 1024  # a reason of a thousand characters, each escaped

    @extend_schema(
        operation_id="promote_model",
        tags=["models"],
        request=PromoteSerializer,
        responses={201: DeploymentSerializer, **problems(400, 403, 404, 409, 415)},
    )
    def post(self, _request: ApiRequest, number: int) -> Response:
        """Make a version live. It must have passed the gate, unless `force` and a reason are given. For operators."""
        return _deploy(self, number, PromoteSerializer, deployments.promote)


class RollBackView(ApiView):
    """Rollback to an earlier version."""

    scopes = {"POST": (Scope.OPERATE,)}

    @extend_schema(
        operation_id="roll_back_to_model",
        tags=["models"],
        request=RollBackSerializer,
        responses={201: DeploymentSerializer, **problems(400, 403, 404, 409, 415)},
    )
    def post(self, _request: ApiRequest, number: int) -> Response:
        """Roll back to a version that was live before. For operators."""
        return _deploy(self, number, RollBackSerializer, deployments.roll_back)


class ModelKerasView(ApiView):
    """Keras file of a version."""

    scopes = {"GET": (Scope.OPERATE,)}

    @extend_schema(operation_id="download_model_keras", tags=["models"], responses=FILE_RESPONSES)
    def get(self, _request: ApiRequest, number: int) -> HttpResponse:
        """Return `my_model.keras` of a version, as stored. For operators."""
        return _file_response(self, number, "keras_file", "my_model.keras")


class ModelBundleView(ApiView):
    """Serving bundle of a version."""

    scopes = {"GET": (Scope.OPERATE,)}

    @extend_schema(operation_id="download_model_bundle", tags=["models"], responses=FILE_RESPONSES)
    def get(self, _request: ApiRequest, number: int) -> HttpResponse:
        """Return the serving bundle of a version: LiteRT model, temperature and thresholds. For operators."""
        return _file_response(self, number, "bundle", f"model-{number}.bundle")


def _file_response(view: ApiView, number: int, column: str, name: str) -> HttpResponse:
    permissions.require_operator(view.actor)
    data = versions.read_file(_find_version(number), column)
    if data is None:
        raise Conflict(f"The files of version {number} were pruned; its figures are still there.")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(data, content_type="application/octet-stream", headers=headers)


def _deploy(view: ApiView, number: int, kind: type[RollBackSerializer], deploy: Callable[..., Deployment]) -> Response:
    permissions.require_operator(view.actor)
    params = dict(view.validated_body(kind))
    expected_sequence = params.pop("seen", None)
    version = _find_version(number)
    try:
        deployment = deploy(actor=view.actor, version=version, expected_sequence=expected_sequence, **params)
    except versions.RegistryError as error:
        raise Conflict(str(error)) from error
    return Response(DeploymentSerializer(deployment).data, status=201)


def _find_version(number: int) -> ModelVersion:
    version = ModelVersion.objects.filter(number=number).first()
    if version is None:
        raise Http404
    return version
