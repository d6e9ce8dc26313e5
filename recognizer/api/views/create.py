"""The two operations that receive images: create submissions, and preview without storing."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.response import Response

from ml.serving.verdicts import Verdict
from recognizer.api.http import headers as http_headers
from recognizer.api.http import request_parsing
from recognizer.api.http.idempotency import idempotent
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
    problems,
)
from recognizer.api.serializers.predictions import PreviewSerializer
from recognizer.api.serializers.submissions import (
    BatchItemSerializer,
    StoredSubmissionSerializer,
    submission_path,
)
from recognizer.api.views.base import ApiView
from recognizer.models import Submission, SubmissionState
from recognizer.services.identity import idempotency, permissions
from recognizer.services.identity.idempotency import Claim
from recognizer.services.inference import handoff
from recognizer.services.submissions import intake, service
from recognizer.services.submissions.intake import SubmissionRejectedError
from recognizer.services.submissions.service import Preview

from .submissions import SubmissionListView

RETRY_AFTER_SECONDS = "1"
PARSERS = [JsonParser, FormParser, ImageParser]

# A stored submission, or the problem document of an image that was not stored.
Outcome = Submission | Problem


class SubmissionsView(SubmissionListView):
    """List and creation of submissions."""

    parser_classes = PARSERS
    max_body_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

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
            outcomes = _recorded_outcomes(claim.stored, self._wait_seconds, caller=self.actor.caller_key)
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
    rows = Submission.objects.with_latest_prediction().without_large_columns().in_bulk(ids)
    handoff.wait_for_all(list(rows.values()), seconds, caller=caller)
    deleted = document_of(Deleted())[0]
    return [rows.get(item.get("submission", 0)) or item.get("problem", deleted) for item in stored]


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
