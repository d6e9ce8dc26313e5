"""The history of predictions: what every model version said of every submission."""

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.outputs import PredictionOfSubmissionSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import PredictionFilter
from recognizer.models import Prediction
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.submissions import service


class PredictionsView(ListView):
    filterset_class = PredictionFilter
    serializer_class = PredictionOfSubmissionSerializer

    def rows(self) -> QuerySet[Prediction]:
        return visible_predictions(self.actor)

    @describe_list(
        PredictionFilter, PredictionOfSubmissionSerializer, operation_id="list_predictions", tags=["predictions"]
    )
    def get(self, request: Request) -> Response:
        """What was said of the submissions that the caller sees."""
        return super().get(request)


class PredictionView(ApiView):
    @extend_schema(
        operation_id="read_prediction",
        tags=["predictions"],
        responses={200: PredictionOfSubmissionSerializer, **problems(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        """One prediction."""
        prediction = visible_predictions(self.actor).filter(pk=pk).first()
        if prediction is None:
            raise Http404
        return Response(PredictionOfSubmissionSerializer(prediction, context={"request": request}).data)


def visible_predictions(actor: Actor) -> QuerySet[Prediction]:
    return (
        permissions.visible_predictions(actor)
        .select_related("submission", "version")
        .defer(
            *(f"submission__{name}" for name in service.LARGE_COLUMNS),
            *(f"version__{name}" for name in service.VERSION_COLUMNS),
        )
    )
