"""Submissions: create, list, read, delete, share; their images; previews."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.response import Response

from ml.serving.verdicts import Verdict
from recognizer.api.http import headers as http_headers
from recognizer.api.http import request_parsing
from recognizer.api.http.idempotency import idempotent
from recognizer.api.http.image_responses import encode_png, image_response
from recognizer.api.http.parsers import FormParser, ImageParser, JsonParser
from recognizer.api.http.problems import Deleted, Problem, Unavailable, document_of
from recognizer.api.http.requests import ApiRequest
from recognizer.api.openapi.params import (
    CROP,
    DRAWING_EXAMPLE,
    FILE_OPTIONS,
    IDEMPOTENCY_KEY,
    IMAGE_BODIES,
    LOCATION,
    PREFER,
    REPLAYED,
    RETRY_AFTER,
    SUBMISSION_BODIES,
    describe_list,
    describe_submission,
    problems,
)
from recognizer.api.serializers.predictions import PreviewSerializer
from recognizer.api.serializers.submissions import (
    BatchItemSerializer,
    ShareSerializer,
    StoredSubmissionSerializer,
    SubmissionDetailSerializer,
    SubmissionSerializer,
    submission_path,
)
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import SubmissionFilter
from recognizer.models import Scope, Submission, SubmissionState
from recognizer.services.identity import idempotency, permissions
from recognizer.services.identity.idempotency import Claim
from recognizer.services.images import storage
from recognizer.services.inference import handoff
from recognizer.services.submissions import intake, service
from recognizer.services.submissions.intake import SubmissionRejectedError
from recognizer.services.submissions.service import Preview

RETRY_AFTER_SECONDS = "1"
PARSERS = [JsonParser, FormParser, ImageParser]

# A stored submission, or the problem document of an image that was not stored.
Outcome = Submission | Problem


class SubmissionsView(ListView):
    """List and creation of submissions."""

    filterset_class = SubmissionFilter
    serializer_class = SubmissionSerializer
    parser_classes = PARSERS
    max_body_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def rows(self) -> QuerySet[Submission]:
        """Return the submissions that the caller may see."""
        return service.with_latest_prediction(permissions.visible_submissions(self.actor))

    @describe_list(SubmissionFilter, SubmissionSerializer, operation_id="list_submissions", tags=["submissions"])
    def get(self, request: ApiRequest) -> Response:
        """List the caller's submissions; for reviewers and operators, all submissions."""
        return super().get(request)

    @extend_schema(
        operation_id="create_submission",
        tags=["submissions"],
        parameters=[PREFER, IDEMPOTENCY_KEY, *FILE_OPTIONS, LOCATION, RETRY_AFTER, REPLAYED],
        request=SUBMISSION_BODIES,
        examples=[DRAWING_EXAMPLE],
        responses={
            201: OpenApiResponse(StoredSubmissionSerializer, "Stored, with a prediction."),
            202: OpenApiResponse(StoredSubmissionSerializer, "Stored; the prediction is pending."),
            207: OpenApiResponse(BatchItemSerializer(many=True), "The result for each image of a batch, in order."),
            **problems(400, 403, 409, 410, 413, 415, 422, 429, 503),
        },
    )
    def post(self, request: ApiRequest) -> Response:
        """Create a submission from an image or strokes of one digit, or a batch of up to 100.

        Waits for the prediction: 201 includes it. 202 if it takes longer; read the submission later at `Location`.

        A batch is a JSON list, or a form with several parts `image`. The response is 207 with the result for each
        image. An invalid image does not affect the others.
        """
        actor = self.sender
        response = idempotent(request, actor=actor, handler=lambda claim: self._create(request, claim))
        if not actor.is_known:
            _add_manage_keys(response.data)
        return response

    def _create(self, request: ApiRequest, claim: Claim | None) -> Response:
        entries = request_parsing.parse_batch(request, request_parsing.NEW_SUBMISSION)
        outcomes: Sequence[Outcome]
        if claim is not None and claim.stored is not None:
            outcomes = _recorded_outcomes(claim.stored, self._wait_seconds, caller=self.actor.share_key)
        elif entries is None:
            image = request_parsing.parse_image(request, request_parsing.NEW_SUBMISSION)
            outcomes = [self._create_submission(image, claim)]
        else:
            outcomes = self._create_batch(entries, claim)
        if entries is not None:
            return Response([*self._items(outcomes)], status=207)
        [outcome] = outcomes
        if not isinstance(outcome, Submission):
            raise Deleted
        item = next(self._items(outcomes))
        headers = {"Location": f"{submission_path('api-submission', outcome)}?key={item['submission']['read_key']}"}
        if item["status"] == 202:
            headers["Retry-After"] = RETRY_AFTER_SECONDS
        return Response(item["submission"], status=item["status"], headers=headers)

    def _create_submission(self, payload: intake.SubmissionInput, claim: Claim | None) -> Submission:
        within = None if claim is None else (lambda outcomes: idempotency.record(claim, outcomes))
        return service.create_submission(actor=self.actor, payload=payload, within=within, seconds=self._wait_seconds)

    def _create_batch(self, entries: list[request_parsing.Entry], claim: Claim | None) -> list[Outcome]:
        def merge(results: Sequence[Submission | SubmissionRejectedError]) -> list[Outcome]:
            """Combine the results for valid entries with the validation errors, in the order of the batch."""
            remaining = iter(results)
            merged = [next(remaining) if isinstance(entry, intake.SubmissionInput) else entry for entry in entries]
            return [item if isinstance(item, Submission) else document_of(item)[0] for item in merged]

        def within(results: Sequence[Submission | SubmissionRejectedError]) -> None:
            if claim is not None and any(isinstance(result, Submission) for result in results):
                idempotency.record(claim, merge(results))

        results = service.create_submissions(
            actor=self.actor,
            payloads=request_parsing.valid_entries(entries),
            within=within,
            seconds=self._wait_seconds,
        )
        return merge(results)

    @property
    def _wait_seconds(self) -> float:
        """Seconds that the caller waits for predictions."""
        return http_headers.wait_seconds(self.request.headers)

    def _items(self, outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
        """Yield the response item of each outcome."""
        context: dict[str, Any] = {"request": self.request}
        for outcome in outcomes:
            if not isinstance(outcome, Submission):
                yield {"status": outcome["status"], "problem": outcome}
                continue
            context["read_key"] = permissions.read_key(outcome)
            context["key"] = "" if self.actor.is_known else context["read_key"]
            status = 201 if outcome.state == SubmissionState.PREDICTED else 202
            yield {"status": status, "submission": StoredSubmissionSerializer.represent(outcome, context)}


def _add_manage_keys(data: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Add its manage key to each submission in the response."""
    for submission in [item.get("submission") for item in data] if isinstance(data, list) else [data]:
        if submission:
            submission["manage_key"] = permissions.manage_key(submission["id"])


def _recorded_outcomes(stored: Sequence[dict[str, Any]], seconds: float, *, caller: str) -> list[Outcome]:
    """Return the outcomes recorded for an idempotency key.

    Args:
        stored: The recorded items: a submission's primary key, a problem document, or a mark that it was deleted.
        seconds: Time to wait for pending predictions.
        caller: Key under which the waiting is accounted.
    """
    ids = [item["submission"] for item in stored if "submission" in item]
    rows = {row.pk: row for row in service.with_latest_prediction(Submission.objects.filter(pk__in=ids))}
    handoff.wait_for_all(list(rows.values()), seconds, caller=caller)
    deleted = document_of(Deleted())[0]
    return [rows.get(item.get("submission", 0)) or item.get("problem", deleted) for item in stored]


class SubmissionView(ApiView):
    """One submission."""

    scopes = {"DELETE": (Scope.SUBMIT, Scope.OPERATE)}

    @describe_submission(operation_id="read_submission", responses={200: SubmissionDetailSerializer, **problems(404)})
    def get(self, request: ApiRequest, public_id: str) -> Response:
        """Return a submission with its latest prediction."""
        submission = self.readable_submission(public_id)
        return Response(SubmissionDetailSerializer(submission, context={"request": request, "key": self.key}).data)

    @describe_submission(operation_id="delete_submission", responses={204: None, **problems(403, 404)})
    def delete(self, _request: ApiRequest, public_id: str) -> Response:
        """Delete a submission with its predictions, labels and image. For its sender and operators."""
        service.delete(actor=self.actor, submission=self.readable_submission(public_id))
        return Response(status=204)


class SubmissionShareView(ApiView):
    """Share link of a submission."""

    @describe_submission(
        operation_id="share_submission", request=None, responses={200: ShareSerializer, **problems(403, 404)}
    )
    def post(self, request: ApiRequest, public_id: str) -> Response:
        """Create the share link, which gives read access without an account. Repeating returns the same link."""
        submission = self.readable_submission(public_id)
        key = service.share(actor=self.actor, submission=submission)
        return Response(ShareSerializer({"submission": submission, "key": key}, context={"request": request}).data)

    @describe_submission(operation_id="unshare_submission", responses={204: None, **problems(403, 404)})
    def delete(self, _request: ApiRequest, public_id: str) -> Response:
        """Revoke the share link of a submission. A new link will have a new key."""
        service.unshare(actor=self.actor, submission=self.readable_submission(public_id))
        return Response(status=204)


class SubmissionReadKeyView(ApiView):
    """Read key of a submission."""

    @describe_submission(operation_id="revoke_read_key", responses={204: None, **problems(403, 404)})
    def delete(self, _request: ApiRequest, public_id: str) -> Response:
        """Revoke the read key of a submission, and with it the URL in `Location`, permanently."""
        service.revoke_read_key(actor=self.actor, submission=self.readable_submission(public_id))
        return Response(status=204)


NOT_MODIFIED = OpenApiResponse(description="The client's copy is current (`If-None-Match`).")


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
    def get(self, request: ApiRequest, public_id: str) -> HttpResponse:
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
    def get(self, request: ApiRequest, public_id: str) -> HttpResponse:
        """Return the model's input of 28 x 28."""
        pixels = bytes(self.readable_submission(public_id).pixels)
        return image_response(
            request,
            etag=hashlib.sha256(pixels).hexdigest(),
            content_type="image/png",
            read=lambda: encode_png(np.frombuffer(pixels, np.uint8).reshape(28, 28)),
        )


class PreviewView(ApiView):
    """Prediction without storing."""

    parser_classes = PARSERS
    max_body_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    @extend_schema(
        operation_id="preview",
        tags=["preview"],
        parameters=[CROP],
        request=IMAGE_BODIES,
        examples=[DRAWING_EXAMPLE],
        responses={200: PreviewSerializer, **problems(400, 403, 413, 415, 422, 429, 503)},
    )
    def post(self, request: ApiRequest) -> Response:
        """Return the live model's prediction for an image or strokes without storing anything."""
        preview = service.preview(actor=self.actor, payload=request_parsing.parse_image(request, request_parsing.IMAGE))
        if preview.answer is None and not preview.prepared.blank:
            raise Unavailable("The model is busy or unavailable right now. Please try again in a moment.")
        return Response(preview_body(preview))


def preview_body(preview: Preview) -> dict[str, Any]:
    """Return what `PreviewSerializer` would, without validating each pixel."""
    names = ("verdict", "digit", "certainty", "runner_up", "probabilities", "energy", "doubt")
    answer = {name: getattr(preview.answer, name, None) for name in names}
    if preview.answer is None:
        answer["verdict"] = Verdict.BLANK
    return answer | {"pixels": preview.prepared.pixels.tolist()}
