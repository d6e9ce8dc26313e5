"""Labels of submissions: create, read, list, retract."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.generics import RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer import pagination
from recognizer.api.openapi.params import KEY, MANAGE_KEY, PUBLIC_ID, describe_list, problems
from recognizer.api.serializers.labels import LabelSerializer, NewLabelSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import LabelFilter
from recognizer.models import LARGE_COLUMNS, Label, Scope
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.review import labels


@describe_list(
    operation_id="list_labels",
    tags=["labels"],
    description="List the labels of the submissions that the caller may see.",
)
class LabelsView(ListView):
    """List of labels."""

    filterset_class = LabelFilter
    serializer_class = LabelSerializer

    def get_queryset(self) -> QuerySet[Label]:
        """Return the labels that the caller may see, newest first."""
        return visible_labels(self.actor).order_by("-id")


@describe_list(
    operation_id="list_labels_of_submission",
    tags=["labels"],
    description="List the labels of a submission, oldest first.",
    parameters=[PUBLIC_ID, KEY, MANAGE_KEY],
    problem=[404],
)
class SubmissionLabelsView(LabelsView):
    """Labels of one submission."""

    scopes = {"POST": (Scope.SUBMIT, Scope.REVIEW)}
    max_body_bytes = 1024
    other_parameters = (*pagination.PARAMETERS, "key")

    def get_queryset(self) -> QuerySet[Label]:
        """Return the labels of the submission, oldest first."""
        submission = self.readable_submission(self.kwargs["public_id"])
        return with_names(Label.objects.filter(submission=submission).order_by("id"))

    @extend_schema(
        operation_id="create_label",
        tags=["labels"],
        parameters=[PUBLIC_ID, KEY, MANAGE_KEY],
        request=NewLabelSerializer,
        responses={
            200: OpenApiResponse(LabelSerializer, "The caller's latest label is the same; nothing was created."),
            201: OpenApiResponse(LabelSerializer, "Created."),
            **problems(400, 403, 404, 409, 413, 415),
        },
    )
    def post(self, _request: Request, public_id: str) -> Response:
        """Label a submission. A reviewer's label is a review, the sender's label a suggestion.

        Repeating the request changes nothing.
        """
        submission = self.readable_submission(public_id)
        params = self.validated_body(NewLabelSerializer)
        recorded = labels.record_label(actor=self.actor, submission=submission, **params)
        return Response(self.get_serializer(recorded.label).data, status=201 if recorded.is_new else 200)


@extend_schema_view(
    get=extend_schema(
        operation_id="read_label",
        tags=["labels"],
        description="Return a label.",
        responses={200: LabelSerializer, **problems(404)},
    )
)
class LabelView(ApiView, RetrieveAPIView[Label]):
    """One label."""

    scopes = {"DELETE": (Scope.SUBMIT, Scope.REVIEW)}
    serializer_class = LabelSerializer

    def get_queryset(self) -> QuerySet[Label]:
        """Return the labels that the caller may see."""
        return visible_labels(self.actor)

    @extend_schema(operation_id="retract_label", tags=["labels"], responses={204: None, **problems(403, 404, 409)})
    def delete(self, _request: Request, **_kwargs: Any) -> Response:
        """Retract the caller's own label. The label is kept, a retraction is added, and the previous label counts."""
        labels.retract(actor=self.actor, label=self.get_object())
        return Response(status=204)


def visible_labels(actor: Actor) -> QuerySet[Label]:
    """Return the labels that the actor may see, with submission and account."""
    return with_names(permissions.visible_labels(actor))


def with_names(rows: QuerySet[Label]) -> QuerySet[Label]:
    """Join submission and account, without the large columns of the submission."""
    return rows.select_related("submission", "user").defer(*(f"submission__{name}" for name in LARGE_COLUMNS))
