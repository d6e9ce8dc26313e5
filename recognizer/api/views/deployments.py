"""Deployments: history, promotion, rollback and model files. Operators only."""

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.http.problems import ProblemError
from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.training import DeploymentSerializer, PromoteSerializer, RollBackSerializer
from recognizer.api.views.base import ListView, OperatorView
from recognizer.filters import DeploymentFilter
from recognizer.models import Deployment, ModelVersion
from recognizer.services.registry import deployments, versions

FILE_RESPONSES = {(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY), **problems(403, 404, 409)}


@describe_list(
    operation_id="list_deployments",
    tags=["models"],
    description="List deployments, newest first. For operators.",
    problem=[403],
)
class DeploymentsView(OperatorView, ListView):
    """History of deployments."""

    queryset = Deployment.objects.select_related("from_version", "to_version", "who")
    filterset_class = DeploymentFilter
    serializer_class = DeploymentSerializer


class _VersionView(OperatorView):
    queryset = ModelVersion.objects.all()
    lookup_field = "number"

    def deploy(self, deploy: Callable[..., Deployment], kind: type[RollBackSerializer]) -> Response:
        """Run a deployment service with the parameters in the body."""
        params = self.validated_body(kind)
        expected_sequence = params.pop("seen", None)
        version = self.get_object()
        deployment = deploy(actor=self.actor, version=version, expected_sequence=expected_sequence, **params)
        return Response(DeploymentSerializer(deployment).data, status=201)

    def file_response(self, column: str, name: str) -> HttpResponse:
        """Return a file of the version as a download."""
        version = self.get_object()
        data = versions.read_file(version, column)
        if data is None:
            detail = f"The files of version {version.number} were pruned; its figures are still there."
            raise ProblemError("conflict", detail)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(data, content_type="application/octet-stream", headers=headers)


class PromoteView(_VersionView):
    """Promotion of a version."""

    max_body_bytes = 16 * 1024  # a reason of a thousand characters, each escaped

    @extend_schema(
        operation_id="promote_model",
        tags=["models"],
        request=PromoteSerializer,
        responses={201: DeploymentSerializer, **problems(400, 403, 404, 409, 415)},
    )
    def post(self, _request: Request, **_kwargs: Any) -> Response:
        """Make a version live. It must have passed the gate, unless `force` and a reason are given. For operators."""
        return self.deploy(deployments.promote, PromoteSerializer)


class RollBackView(_VersionView):
    """Rollback to an earlier version."""

    @extend_schema(
        operation_id="roll_back_to_model",
        tags=["models"],
        request=RollBackSerializer,
        responses={201: DeploymentSerializer, **problems(400, 403, 404, 409, 415)},
    )
    def post(self, _request: Request, **_kwargs: Any) -> Response:
        """Roll back to a version that was live before. For operators."""
        return self.deploy(deployments.roll_back, RollBackSerializer)


class ModelKerasView(_VersionView):
    """Keras file of a version."""

    @extend_schema(operation_id="download_model_keras", tags=["models"], responses=FILE_RESPONSES)
    def get(self, _request: Request, **_kwargs: Any) -> HttpResponse:
        """Return `my_model.keras` of a version, as stored. For operators."""
        return self.file_response("keras_file", "my_model.keras")


class ModelBundleView(_VersionView):
    """Serving bundle of a version."""

    @extend_schema(operation_id="download_model_bundle", tags=["models"], responses=FILE_RESPONSES)
    def get(self, _request: Request, number: int) -> HttpResponse:
        """Return the serving bundle of a version: LiteRT model, temperature and thresholds. For operators."""
        return self.file_response("bundle", f"model-{number}.bundle")
