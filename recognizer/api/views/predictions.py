"""The history of predictions: list and details."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import RetrieveAPIView

from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.predictions import PredictionOfSubmissionSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import PredictionFilter
from recognizer.models import LARGE_COLUMNS, VERSION_COLUMNS, Prediction
from recognizer.services.identity import permissions


class _PredictionView(ApiView):
    serializer_class = PredictionOfSubmissionSerializer

    def get_queryset(self) -> QuerySet[Prediction]:
        """Return the predictions that the caller may see, without the large columns of submission and version."""
        return (
            permissions.visible_predictions(self.actor)
            .select_related("submission", "version")
            .defer(
                *(f"submission__{name}" for name in LARGE_COLUMNS),
                *(f"version__{name}" for name in VERSION_COLUMNS),
            )
        )


@describe_list(
    operation_id="list_predictions",
    tags=["predictions"],
    description="List the predictions for the submissions that the caller may see.",
)
class PredictionsView(_PredictionView, ListView):
    """List of predictions."""

    filterset_class = PredictionFilter


@extend_schema_view(
    get=extend_schema(
        operation_id="read_prediction",
        tags=["predictions"],
        description="Return a prediction.",
        responses={200: PredictionOfSubmissionSerializer, **problems(404)},
    )
)
class PredictionView(_PredictionView, RetrieveAPIView[Prediction]):
    """One prediction."""
