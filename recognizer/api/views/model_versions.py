"""Model versions: list and details."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from recognizer.api.http.requests import ApiRequest
from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.models import ModelVersionDetailSerializer, ModelVersionSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import ModelVersionFilter
from recognizer.models import ModelVersion
from recognizer.services.registry.versions import live_version


class ModelsView(ListView):
    """List of model versions."""

    filterset_class = ModelVersionFilter
    serializer_class = ModelVersionSerializer

    def rows(self) -> QuerySet[ModelVersion]:
        """Return all versions without large columns."""
        return versions().defer("history", "gate")

    @describe_list(ModelVersionFilter, ModelVersionSerializer, operation_id="list_models", tags=["models"])
    def get(self, request: ApiRequest) -> Response:
        """List model versions, newest first."""
        return super().get(request)

    def context(self) -> dict[str, Any]:
        """Add the id of the live version."""
        return super().context() | {"live": live_version().pk}


class ModelView(ApiView):
    """One model version."""

    @extend_schema(
        operation_id="read_model", tags=["models"], responses={200: ModelVersionDetailSerializer, **problems(404)}
    )
    def get(self, request: ApiRequest, number: int) -> Response:
        """Return a model version with its training history and gate checks."""
        version = versions().filter(number=number).first()
        if version is None:
            raise Http404
        context = {"request": request, "live": live_version().pk}
        return Response(ModelVersionDetailSerializer(version, context=context).data)


def versions() -> QuerySet[ModelVersion]:
    """Return all versions with their parents."""
    return ModelVersion.objects.select_related("parent")
