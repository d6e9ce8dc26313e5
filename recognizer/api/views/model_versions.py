"""Model versions: which there are, how good they are, which one is live."""

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.outputs import ModelVersionDetailSerializer, ModelVersionSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import ModelVersionFilter
from recognizer.models import ModelVersion
from recognizer.services.registry import versions as model_versions


class ModelsView(ListView):
    filterset_class = ModelVersionFilter
    serializer_class = ModelVersionSerializer

    def rows(self) -> QuerySet[ModelVersion]:
        return versions().defer("history", "gate")

    @describe_list(ModelVersionFilter, ModelVersionSerializer, operation_id="list_models", tags=["models"])
    def get(self, request: Request) -> Response:
        """Every model version, newest first."""
        return super().get(request)

    def context(self) -> dict:
        return super().context() | {"live": model_versions.live_version().pk}


class ModelView(ApiView):
    @extend_schema(
        operation_id="read_model", tags=["models"], responses={200: ModelVersionDetailSerializer, **problems(404)}
    )
    def get(self, request: Request, number: int) -> Response:
        """One model version with its curves and every check of its gate."""
        version = versions().filter(number=number).first()
        if version is None:
            raise Http404
        context = {"request": request, "live": model_versions.live_version().pk}
        return Response(ModelVersionDetailSerializer(version, context=context).data)


def versions() -> QuerySet[ModelVersion]:
    return ModelVersion.objects.select_related("parent")
