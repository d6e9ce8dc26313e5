"""The history of predictions: list and details."""

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from recognizer.api.http.requests import ApiRequest
from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.predictions import PredictionOfSubmissionSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import PredictionFilter
from recognizer.models import LARGE_COLUMNS, VERSION_COLUMNS, Prediction
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor


class PredictionsView(ListView):
    """List of predictions."""

    filterset_class = PredictionFilter
    serializer_class = PredictionOfSubmissionSerializer

    def rows(self) -> QuerySet[Prediction]:
        """Return the predictions that the caller may see."""
        return visible_predictions(self.actor)

    @describe_list(
        PredictionFilter, PredictionOfSubmissionSerializer, operation_id="list_predictions", tags=["predictions"]
    )
    def get(self, request: ApiRequest) -> Response:
        """List the predictions for the submissions that the caller may see."""
        return super().get(request)


class PredictionView(ApiView):
    """One prediction."""

    @extend_schema(
        operation_id="read_prediction",
        tags=["predictions"],
        responses={200: PredictionOfSubmissionSerializer, **problems(404)},
    )
    def get(self, request: ApiRequest, pk: int) -> Response:
        """Return a prediction."""
        prediction = visible_predictions(self.actor).filter(pk=pk).first()
        if prediction is None:
            raise Http404
        return Response(PredictionOfSubmissionSerializer(prediction, context={"request": request}).data)


def visible_predictions(actor: Actor) -> QuerySet[Prediction]:
    """Return the predictions that the actor may see, with submission and version but without their large columns."""
    return (
        permissions.visible_predictions(actor)
        .select_related("submission", "version")
        .defer(
            *(f"submission__{name}" for name in LARGE_COLUMNS),
            *(f"version__{name}" for name in VERSION_COLUMNS),
        )
    )
