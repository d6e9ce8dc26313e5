"""Labels of submissions: create, read, list, retract."""

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.response import Response

from recognizer.api.http.problems import Conflict
from recognizer.api.http.requests import ApiRequest
from recognizer.api.openapi.params import KEY, MANAGE_KEY, PUBLIC_ID, describe_list, problems
from recognizer.api.serializers.labels import LabelSerializer, NewLabelSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import LabelFilter
from recognizer.models import LARGE_COLUMNS, Label, Scope
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.review import labels
from recognizer.services.review.labels import LabelError


class LabelsView(ListView):
    """List of labels."""

    filterset_class = LabelFilter
    serializer_class = LabelSerializer

    def rows(self) -> QuerySet[Label]:
        """Return the labels that the caller may see, newest first."""
        return visible_labels(self.actor).order_by("-id")

    @describe_list(LabelFilter, LabelSerializer, operation_id="list_labels", tags=["labels"])
    def get(self, request: ApiRequest) -> Response:
        """List the labels of the submissions that the caller may see."""
        return super().get(request)


class SubmissionLabelsView(ListView):
    """Labels of one submission."""

    scopes = {"POST": (Scope.SUBMIT, Scope.REVIEW)}
    max_body_bytes = 1024
    filterset_class = LabelFilter
    serializer_class = LabelSerializer
    other_parameters = ("key",)

    @describe_list(
        LabelFilter,
        LabelSerializer,
        operation_id="list_labels_of_submission",
        tags=["labels"],
        parameters=[PUBLIC_ID, KEY, MANAGE_KEY],
        problem=[404],
    )
    def get(self, _request: ApiRequest, public_id: str) -> Response:  # type: ignore[override] # an argument of its path
        """List the labels of a submission, oldest first."""
        submission = self.readable_submission(public_id)
        return self.page(with_names(Label.objects.filter(submission=submission).order_by("id")))

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
    def post(self, request: ApiRequest, public_id: str) -> Response:
        """Label a submission. A reviewer's label is a review, the sender's label a suggestion.

        Repeating the request changes nothing.
        """
        submission = self.readable_submission(public_id)
        params = self.validated_body(NewLabelSerializer)
        try:
            recorded = labels.record_label(actor=self.actor, submission=submission, **params)
        except LabelError as error:
            raise Conflict(str(error)) from error
        return Response(
            LabelSerializer(recorded.label, context={"request": request}).data, status=201 if recorded.is_new else 200
        )


class LabelView(ApiView):
    """One label."""

    scopes = {"DELETE": (Scope.SUBMIT, Scope.REVIEW)}

    @extend_schema(operation_id="read_label", tags=["labels"], responses={200: LabelSerializer, **problems(404)})
    def get(self, request: ApiRequest, pk: int) -> Response:
        """Return a label."""
        return Response(LabelSerializer(self._label(pk), context={"request": request}).data)

    @extend_schema(operation_id="retract_label", tags=["labels"], responses={204: None, **problems(403, 404, 409)})
    def delete(self, _request: ApiRequest, pk: int) -> Response:
        """Retract the caller's own label. The label is kept, a retraction is added, and the previous label counts."""
        try:
            labels.retract(actor=self.actor, label=self._label(pk))
        except LabelError as error:
            raise Conflict(str(error)) from error
        return Response(status=204)

    def _label(self, pk: int) -> Label:
        label = visible_labels(self.actor).filter(pk=pk).first()
        if label is None:
            raise Http404
        return label


def visible_labels(actor: Actor) -> QuerySet[Label]:
    """Return the labels that the actor may see, with submission and account."""
    return with_names(permissions.visible_labels(actor))


def with_names(rows: QuerySet[Label]) -> QuerySet[Label]:
    """Join submission and account, without the large columns of the submission."""
    return rows.select_related("submission", "user").defer(*(f"submission__{name}" for name in LARGE_COLUMNS))
