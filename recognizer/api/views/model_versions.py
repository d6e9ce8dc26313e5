"""Model versions: list and details."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import RetrieveAPIView

from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.models import ModelVersionDetailSerializer, ModelVersionSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import ModelVersionFilter
from recognizer.models import ModelVersion
from recognizer.services.registry.versions import live_version


class _VersionView(ApiView):
    queryset = ModelVersion.objects.select_related("parent")

    def get_serializer_context(self) -> dict[str, Any]:
        """Add the id of the live version."""
        return {**super().get_serializer_context(), "live": live_version().pk}


@describe_list(operation_id="list_models", tags=["models"], description="List model versions, newest first.")
class ModelsView(_VersionView, ListView):
    """List of model versions."""

    queryset = _VersionView.queryset.defer("history", "gate")
    filterset_class = ModelVersionFilter
    serializer_class = ModelVersionSerializer


@extend_schema_view(
    get=extend_schema(
        operation_id="read_model",
        tags=["models"],
        description="Return a model version with its training history and gate checks.",
        responses={200: ModelVersionDetailSerializer, **problems(404)},
    )
)
class ModelView(_VersionView, RetrieveAPIView[ModelVersion]):
    """One model version."""

    lookup_field = "number"
    serializer_class = ModelVersionDetailSerializer
