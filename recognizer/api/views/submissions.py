"""Submissions: list, read, crop, delete, share; their images. `create` has the views that receive images."""

import hashlib

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.http.image_responses import encode_png, image_response
from recognizer.api.http.requests import RETRY_AFTER_SECONDS, wait_preference
from recognizer.api.openapi.params import (
    KEY,
    MANAGE_KEY,
    NOT_MODIFIED,
    PREFER,
    PUBLIC_ID,
    RETRY_AFTER,
    describe_list,
    describe_submission,
    problems,
)
from recognizer.api.serializers.inputs import CropSerializer
from recognizer.api.serializers.models import StatsSerializer
from recognizer.api.serializers.submissions import (
    ShareSerializer,
    SubmissionDetailSerializer,
    SubmissionSerializer,
)
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import SubmissionFilter
from recognizer.models import Scope, Submission, SubmissionState
from recognizer.services.identity import permissions
from recognizer.services.images import storage
from recognizer.services.ops import submission_stats
from recognizer.services.submissions import crops, service


@describe_list(
    operation_id="list_submissions",
    tags=["submissions"],
    description="List the caller's submissions; for reviewers and operators, all submissions.",
)
class SubmissionListView(ListView):
    """List of submissions."""

    filterset_class = SubmissionFilter
    serializer_class = SubmissionSerializer

    def get_queryset(self) -> QuerySet[Submission]:
        """Return the submissions that the caller may see."""
        return permissions.visible_submissions(self.actor).with_latest_prediction().without_large_columns()


class SubmissionView(ApiView):
    """One submission."""

    scopes = {"DELETE": (Scope.SUBMIT, Scope.OPERATE)}

    @describe_submission(operation_id="read_submission", responses={200: SubmissionDetailSerializer, **problems(404)})
    def get(self, request: Request, public_id: str) -> Response:
        """Return a submission with its latest prediction."""
        submission = self.readable_submission(public_id)
        return Response(SubmissionDetailSerializer(submission, context={"request": request, "key": self.key}).data)

    @describe_submission(operation_id="delete_submission", responses={204: None, **problems(403, 404)})
    def delete(self, _request: Request, public_id: str) -> Response:
        """Delete a submission with its predictions, labels and image. For its sender and operators."""
        service.delete(actor=self.actor, submission=self.readable_submission(public_id))
        return Response(status=204)


class SubmissionCropView(ApiView):
    """Crop of a submission."""

    scopes = {"PUT": (Scope.SUBMIT, Scope.REVIEW)}
    max_body_bytes = 1024

    @extend_schema(
        operation_id="crop_submission",
        tags=["submissions"],
        parameters=[PUBLIC_ID, KEY, MANAGE_KEY, PREFER, RETRY_AFTER],
        request=CropSerializer,
        responses={
            200: OpenApiResponse(SubmissionSerializer, "Read within this crop."),
            202: OpenApiResponse(SubmissionSerializer, "The prediction is pending."),
            **problems(400, 403, 404, 413, 415, 422, 429, 503),
        },
    )
    def put(self, request: Request, public_id: str) -> Response:
        """Read a submission again, within another crop. For its sender and reviewers.

        Waits for the prediction as `create_submission` does. The labels and the predictions of other crops are kept.
        Repeating the request changes nothing.
        """
        submission = self.readable_submission(public_id)
        crop = self.validated_body(CropSerializer)["crop"]
        _, timeout = wait_preference(request.headers)
        crops.set_crop(actor=self.actor, submission=submission, crop=crop, timeout=timeout)
        document = SubmissionSerializer(submission, context={"request": request, "key": self.key}).data
        if submission.state == SubmissionState.PENDING:
            return Response(document, status=202, headers={"Retry-After": RETRY_AFTER_SECONDS})
        return Response(document)


class SubmissionShareView(ApiView):
    """Share link of a submission."""

    @describe_submission(
        operation_id="share_submission", request=None, responses={200: ShareSerializer, **problems(403, 404)}
    )
    def post(self, request: Request, public_id: str) -> Response:
        """Create the share link, which gives read access without an account. Repeating returns the same link."""
        submission = self.readable_submission(public_id)
        key = service.share(actor=self.actor, submission=submission)
        return Response(ShareSerializer(submission, context={"request": request, "key": key}).data)

    @describe_submission(operation_id="unshare_submission", responses={204: None, **problems(403, 404)})
    def delete(self, _request: Request, public_id: str) -> Response:
        """Revoke the share link of a submission. A new link will have a new key."""
        service.unshare(actor=self.actor, submission=self.readable_submission(public_id))
        return Response(status=204)


class SubmissionReadKeyView(ApiView):
    """Read key of a submission."""

    @describe_submission(operation_id="revoke_read_key", responses={204: None, **problems(403, 404)})
    def delete(self, _request: Request, public_id: str) -> Response:
        """Revoke the read key of a submission, and with it the URL in `Location`, permanently."""
        service.revoke_read_key(actor=self.actor, submission=self.readable_submission(public_id))
        return Response(status=204)


class SubmissionImageView(ApiView):
    """Stored image of a submission."""

    @describe_submission(
        operation_id="read_submission_image",
        responses={
            (200, "image/png"): OpenApiTypes.BINARY,
            (200, "image/jpeg"): OpenApiTypes.BINARY,
            304: NOT_MODIFIED,
            **problems(404),
        },
    )
    def get(self, request: Request, public_id: str) -> HttpResponse:
        """Return the stored image: PNG for drawings, JPEG for photographs."""
        submission = self.readable_submission(public_id)
        # The file name is the hash of the content.
        return image_response(
            request,
            etag=submission.picture.rpartition("/")[2],
            content_type=submission.picture_type,
            read=lambda: storage.read(submission),
        )


class SubmissionPixelsView(ApiView):
    """Model input of a submission."""

    @describe_submission(
        operation_id="read_submission_pixels",
        responses={(200, "image/png"): OpenApiTypes.BINARY, 304: NOT_MODIFIED, **problems(404)},
    )
    def get(self, request: Request, public_id: str) -> HttpResponse:
        """Return the model's input of 28 x 28: the reading of the image that the latest prediction chose."""
        submission = self.readable_submission(public_id)
        return image_response(
            request,
            etag=hashlib.sha256(submission.seen_pixels.tobytes()).hexdigest(),
            content_type="image/png",
            read=lambda: encode_png(submission.seen_pixels),
            changes=True,
        )


class StatsView(ApiView):
    """Counts of submissions."""

    @extend_schema(operation_id="read_stats", tags=["stats"], responses={200: StatsSerializer, **problems()})
    def get(self, _request: Request) -> Response:
        """Return counts of the caller's submissions; for reviewers and operators, of all submissions."""
        return Response(StatsSerializer(submission_stats.stats_for(self.actor)).data)
