"""Model versions: which there are, how good they are, which one is live."""

from django.db.models import QuerySet
from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.base import ApiView, ListView
from recognizer.api.serializers import ModelVersionDetailSerializer, ModelVersionSerializer
from recognizer.filters import ModelVersionFilter
from recognizer.models import ModelVersion
from recognizer.services import registry


class ModelsView(ListView):
    filterset_class = ModelVersionFilter
    serializer_class = ModelVersionSerializer

    def rows(self) -> QuerySet[ModelVersion]:
        return versions().defer("history", "gate")

    def context(self) -> dict:
        return super().context() | {"live": registry.live_version().pk}


class ModelView(ApiView):
    def get(self, request: Request, number: int) -> Response:
        version = versions().filter(number=number).first()
        if version is None:
            raise Http404
        context = {"request": request, "live": registry.live_version().pk}
        return Response(ModelVersionDetailSerializer(version, context=context).data)


def versions() -> QuerySet[ModelVersion]:
    return ModelVersion.objects.select_related("parent")
