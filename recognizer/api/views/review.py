"""The review queue: lease items, decide, skip, undo. Reviewers only."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.openapi.params import problems
from recognizer.api.permissions import HasTokenScope, IsReviewer
from recognizer.api.serializers.labels import LabelSerializer
from recognizer.api.serializers.review import (
    DecisionSerializer,
    GridItemsSerializer,
    GridSerializer,
    NextSerializer,
    QueueSerializer,
    SeveralDecidedSerializer,
    SeveralDecisionsSerializer,
    SubmissionNameSerializer,
    UndoneSerializer,
)
from recognizer.api.views.base import ApiView
from recognizer.models import LabelReason, Scope, Submission
from recognizer.services.review import labels, queue, statistics


class _ReviewView(ApiView):
    """A POST by a reviewer. All of them can be repeated without further effect."""

    permission_classes = (HasTokenScope, IsReviewer)
    scopes = {"POST": (Scope.REVIEW,)}

    def submission_from_body(self) -> Submission:
        """Return the submission that the body names."""
        return self.readable_submission(self.validated_body(SubmissionNameSerializer)["submission"])


class NextView(_ReviewView):
    """Next items of the queue."""

    @extend_schema(
        operation_id="review_next",
        tags=["review"],
        request=NextSerializer,
        responses={200: QueueSerializer, **problems(400, 403, 415)},
    )
    def post(self, _request: Request) -> Response:
        """Lease the next items to the caller for ten minutes. Other reviewers do not get them during that time."""
        params = self.validated_body(NextSerializer)
        items = queue.lease_next(actor=self.actor, rule=LabelReason(params["rule"]), count=params["count"])
        body = {"items": items, "progress": statistics.progress(self.actor)}
        return Response(QueueSerializer(body, context=self.get_serializer_context()).data)


class DecisionsView(_ReviewView):
    """A decision on one item."""

    @extend_schema(
        operation_id="review_decide",
        tags=["review"],
        request=DecisionSerializer,
        responses={201: LabelSerializer, **problems(400, 403, 404, 409, 415)},
    )
    def post(self, _request: Request) -> Response:
        """Label an item and release it. Repeating the request with the same value changes nothing."""
        params = self.validated_body(DecisionSerializer)
        submission = self.readable_submission(params["submission"])
        recorded = labels.record_label(
            actor=self.actor, submission=submission, value=params["value"], reason=LabelReason.API
        )
        return Response(LabelSerializer(recorded.label, context=self.get_serializer_context()).data, status=201)


class SeveralDecisionsView(_ReviewView):
    """Decisions on several items."""

    max_body_bytes = 64 * 1024

    @extend_schema(
        operation_id="review_decide_several",
        tags=["review"],
        request=SeveralDecisionsSerializer,
        responses={200: SeveralDecidedSerializer, **problems(400, 403, 415)},
    )
    def post(self, _request: Request) -> Response:
        """Label several submissions in one transaction: all labels are stored, or none if the request is invalid.

        Repeating the request changes nothing. Of two decisions about one submission the later one counts.
        """
        decisions = self.validated_body(SeveralDecisionsSerializer)["decisions"]
        value_by_id = {decision["submission"]: decision["value"] for decision in decisions}
        rows = Submission.objects.without_large_columns().filter(public_id__in=value_by_id)
        inputs = [labels.LabelInput(row, value_by_id[row.public_id], LabelReason.API) for row in rows]
        recorded = [row.label for row in labels.record_labels(actor=self.actor, inputs=inputs)]
        missing = set(value_by_id) - {label.submission.public_id for label in recorded}
        body = {"labels": recorded, "missing": sorted(missing)}
        return Response(SeveralDecidedSerializer(body, context=self.get_serializer_context()).data)


class GridView(_ReviewView):
    """Items with the same predicted digit."""

    @extend_schema(
        operation_id="review_grid",
        tags=["review"],
        request=GridSerializer,
        responses={200: GridItemsSerializer, **problems(400, 403, 415)},
    )
    def post(self, _request: Request) -> Response:
        """Lease items with the same predicted digit, to confirm or correct many at once."""
        items = queue.lease_grid(actor=self.actor, **self.validated_body(GridSerializer))
        body = {"items": items, "sizes": queue.grid_sizes()}
        return Response(GridItemsSerializer(body, context=self.get_serializer_context()).data)


class SkipsView(_ReviewView):
    """A skipped item."""

    @extend_schema(
        operation_id="review_skip",
        tags=["review"],
        request=SubmissionNameSerializer,
        responses={204: None, **problems(400, 403, 404, 415)},
    )
    def post(self, _request: Request) -> Response:
        """Skip an item. Other reviewers get it; the caller gets it again only when the queue has no other items."""
        queue.skip(actor=self.actor, submission=self.submission_from_body())
        return Response(status=204)


class UndoView(_ReviewView):
    """An undone decision."""

    @extend_schema(
        operation_id="review_undo",
        tags=["review"],
        request=SubmissionNameSerializer,
        responses={200: UndoneSerializer, **problems(400, 403, 404, 415)},
    )
    def post(self, _request: Request) -> Response:
        """Undo the caller's decision or skip of an item and lease it to the caller again."""
        item = queue.undo(actor=self.actor, submission=self.submission_from_body())
        return Response(UndoneSerializer({"item": item}, context=self.get_serializer_context()).data)
