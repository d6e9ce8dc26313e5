"""Counts of submissions."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.openapi.params import problems
from recognizer.api.serializers.models import StatsSerializer
from recognizer.api.views.base import ApiView
from recognizer.services.ops import submission_stats


class StatsView(ApiView):
    """Counts of submissions."""

    @extend_schema(operation_id="read_stats", tags=["stats"], responses={200: StatsSerializer, **problems()})
    def get(self, _request: Request) -> Response:
        """Return counts of the caller's submissions; for reviewers and operators, of all submissions."""
        return Response(StatsSerializer(submission_stats.stats_for(self.actor)).data)
