"""Submissions: send, list, read, delete; their pictures; preview."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ml.serving.verdicts import Verdict
from recognizer.api.http import headers as http_headers
from recognizer.api.http import request_parsing
from recognizer.api.http.idempotency import idempotent
from recognizer.api.http.image_responses import picture_response, png
from recognizer.api.http.parsers import FormParser, JsonParser, PictureParser
from recognizer.api.http.problems import Deleted, Unavailable, document_of
from recognizer.api.openapi.params import (
    A_SEVEN,
    CROP,
    FILE_OPTIONS,
    IDEMPOTENCY_KEY,
    KEY,
    LOCATION,
    MANAGE_KEY,
    PICTURE_BODIES,
    PREFER,
    PUBLIC_ID,
    REPLAYED,
    RETRY_AFTER,
    SUBMISSION_BODIES,
    describe_list,
    problems,
)
from recognizer.api.serializers.outputs import (
    BatchItemSerializer,
    PreviewSerializer,
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
PARSERS = [JsonParser, FormParser, PictureParser]

# A stored submission, or the problem document of what was not stored.
Outcome = Submission | dict


class SubmissionsView(ListView):
    filterset_class = SubmissionFilter
    serializer_class = SubmissionSerializer
    parser_classes = PARSERS
    max_body_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def rows(self) -> QuerySet[Submission]:
        return service.with_latest_prediction(permissions.visible_submissions(self.actor))

    @describe_list(SubmissionFilter, SubmissionSerializer, operation_id="list_submissions", tags=["submissions"])
    def get(self, request: Request) -> Response:
        """The caller's submissions; reviewers and operators see all."""
        return super().get(request)

    @extend_schema(
        operation_id="create_submission",
        tags=["submissions"],
        parameters=[PREFER, IDEMPOTENCY_KEY, *FILE_OPTIONS, LOCATION, RETRY_AFTER, REPLAYED],
        request=SUBMISSION_BODIES,
        examples=[A_SEVEN],
        responses={
            201: OpenApiResponse(StoredSubmissionSerializer, "Stored and answered."),
            202: OpenApiResponse(StoredSubmissionSerializer, "Stored; the answer takes longer."),
            207: OpenApiResponse(BatchItemSerializer(many=True), "What became of each of several, in their order."),
            **problems(400, 403, 409, 410, 413, 415, 422, 429, 503),
        },
    )
    def post(self, request: Request) -> Response:
        """Send a picture or strokes of one digit, or up to 100 of them.

        Waits a moment for the prediction: 201 with it. 202 when it takes longer: read it later at `Location`.

        Several at once are a JSON list, or a form with several parts `image`: 207 with a list of what became of each.
        What is wrong with one spoils no other.
        """
        actor = self.sender
        response = idempotent(request, actor=actor, act=lambda claim: self._create(request, claim))
        if not actor.is_known:
            _add_manage_keys(response.data)
        return response

    def _create(self, request: Request, claim: Claim | None) -> Response:
        entries = request_parsing.read_several(request, request_parsing.NEW_SUBMISSION)
        if claim is not None and claim.stored is not None:
            outcomes = _recalled(claim.stored, self._seconds, caller=self.actor.share_key)
        elif entries is None:
            outcomes = [self._accept(request_parsing.read_one(request, request_parsing.NEW_SUBMISSION), claim)]
        else:
            outcomes = self._accept_all(entries, claim)
        if entries is not None:
            return Response([*self._items(outcomes)], status=207)
        [outcome] = outcomes
        if isinstance(outcome, dict):
            raise Deleted
        item = next(self._items(outcomes))
        headers = {"Location": f"{submission_path('api-submission', outcome)}?key={item['submission']['read_key']}"}
        if item["status"] == 202:
            headers["Retry-After"] = RETRY_AFTER_SECONDS
        return Response(item["submission"], status=item["status"], headers=headers)

    def _accept(self, sent: intake.SubmissionInput, claim: Claim | None) -> Submission:
        within = None if claim is None else (lambda outcomes: idempotency.record(claim, outcomes))
        return service.create_submission(actor=self.actor, payload=sent, within=within, seconds=self._seconds)

    def _accept_all(self, entries: list[request_parsing.Entry], claim: Claim | None) -> list[Outcome]:
        def together(accepted: Sequence[Submission | SubmissionRejectedError]) -> list[Outcome]:
            """What was accepted or refused, and between it what was wrong before."""
            rest = iter(accepted)
            outcomes = [next(rest) if isinstance(entry, intake.SubmissionInput) else entry for entry in entries]
            return [one if isinstance(one, Submission) else document_of(one)[0] for one in outcomes]

        def within(accepted: Sequence[Submission | SubmissionRejectedError]) -> None:
            if claim is not None and any(isinstance(one, Submission) for one in accepted):
                idempotency.record(claim, together(accepted))

        sent = request_parsing.valid_entries(entries)
        return together(
            service.create_submissions(actor=self.actor, payloads=sent, within=within, seconds=self._seconds)
        )

    @property
    def _seconds(self) -> float:
        """How long the caller waits for answers."""
        return http_headers.wait_seconds(self.request.headers)

    def _items(self, outcomes: Sequence[Outcome]) -> Iterator[dict]:
        """What became of each, as it is told."""
        context = {"request": self.request}
        for outcome in outcomes:
            if isinstance(outcome, dict):
                yield {"status": outcome["status"], "problem": outcome}
                continue
            context["read_key"] = permissions.read_key(outcome)
            context["key"] = "" if self.actor.is_known else context["read_key"]
            status = 201 if outcome.state == SubmissionState.PREDICTED else 202
            yield {"status": status, "submission": StoredSubmissionSerializer.shown(outcome, context)}


def _add_manage_keys(data: dict | list[dict]) -> None:
    """Give each submission in the response its manage key."""
    for submission in [item.get("submission") for item in data] if isinstance(data, list) else [data]:
        if submission:
            submission["manage_key"] = permissions.manage_key(submission["id"])


def _recalled(stored: Sequence[dict], seconds: float, *, caller: str) -> list[Outcome]:
    """Return the outcomes that an idempotency key has recorded, with the predictions that come within `seconds`."""
    wanted = [item["submission"] for item in stored if "submission" in item]
    rows = {row.pk: row for row in service.with_latest_prediction(Submission.objects.filter(pk__in=wanted))}
    handoff.wait_for_all(list(rows.values()), seconds, caller=caller)
    deleted = document_of(Deleted())[0]
    return [rows.get(item.get("submission")) or item.get("problem", deleted) for item in stored]


READ = {"tags": ["submissions"], "parameters": [PUBLIC_ID, KEY, MANAGE_KEY]}


class SubmissionView(ApiView):
    scopes = {"DELETE": (Scope.SUBMIT, Scope.OPERATE)}

    @extend_schema(operation_id="read_submission", responses={200: SubmissionDetailSerializer, **problems(404)}, **READ)
    def get(self, request: Request, public_id: str) -> Response:
        """One submission with its latest prediction."""
        submission = self.readable_submission(public_id)
        return Response(SubmissionDetailSerializer(submission, context={"request": request, "key": self.key}).data)

    @extend_schema(operation_id="delete_submission", responses={204: None, **problems(403, 404)}, **READ)
    def delete(self, _request: Request, public_id: str) -> Response:
        """Delete it with its predictions, its labels and its picture. Only whoever sent it, and operators."""
        service.delete(actor=self.actor, submission=self.readable_submission(public_id))
        return Response(status=204)


class SubmissionShareView(ApiView):
    @extend_schema(
        operation_id="share_submission", request=None, responses={200: ShareSerializer, **problems(403, 404)}, **READ
    )
    def post(self, request: Request, public_id: str) -> Response:
        """Make the share link: whoever has it can look, without an account. Asked again, it is the same one."""
        submission = self.readable_submission(public_id)
        key = service.share(actor=self.actor, submission=submission)
        return Response(ShareSerializer({"submission": submission, "key": key}, context={"request": request}).data)

    @extend_schema(operation_id="unshare_submission", responses={204: None, **problems(403, 404)}, **READ)
    def delete(self, _request: Request, public_id: str) -> Response:
        """Make every share link of it stop working. The next one will be another one."""
        service.unshare(actor=self.actor, submission=self.readable_submission(public_id))
        return Response(status=204)


class SubmissionReadKeyView(ApiView):
    @extend_schema(operation_id="revoke_read_key", responses={204: None, **problems(403, 404)}, **READ)
    def delete(self, _request: Request, public_id: str) -> Response:
        """Make its read key, and the address in `Location`, stop working, for good."""
        service.revoke_read_key(actor=self.actor, submission=self.readable_submission(public_id))
        return Response(status=204)


NOT_MODIFIED = OpenApiResponse(description="The caller has it already (`If-None-Match`).")


class SubmissionImageView(ApiView):
    @extend_schema(
        operation_id="read_submission_image",
        responses={
            (200, "image/png"): OpenApiTypes.BINARY,
            (200, "image/jpeg"): OpenApiTypes.BINARY,
            304: NOT_MODIFIED,
            **problems(404),
        },
        **READ,
    )
    def get(self, request: Request, public_id: str) -> HttpResponse:
        """The kept picture: PNG for drawings, JPEG for photographs."""
        submission = self.readable_submission(public_id)
        # The name is the hash of what it holds.
        return picture_response(
            request,
            etag=submission.picture.rpartition("/")[2],
            content_type=submission.picture_type,
            read=lambda: storage.read(submission),
        )


class SubmissionPixelsView(ApiView):
    @extend_schema(
        operation_id="read_submission_pixels",
        responses={(200, "image/png"): OpenApiTypes.BINARY, 304: NOT_MODIFIED, **problems(404)},
        **READ,
    )
    def get(self, request: Request, public_id: str) -> HttpResponse:
        """The 28 x 28 that the model saw."""
        pixels = bytes(self.readable_submission(public_id).pixels)
        return picture_response(
            request,
            etag=hashlib.sha256(pixels).hexdigest(),
            content_type="image/png",
            read=lambda: png(np.frombuffer(pixels, np.uint8).reshape(28, 28)),
        )


class PreviewView(ApiView):
    parser_classes = PARSERS
    max_body_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    @extend_schema(
        operation_id="preview",
        tags=["preview"],
        parameters=[CROP],
        request=PICTURE_BODIES,
        examples=[A_SEVEN],
        responses={200: PreviewSerializer, **problems(400, 403, 413, 415, 422, 429, 503)},
    )
    def post(self, request: Request) -> Response:
        """What the live model says of a picture or strokes; nothing is stored."""
        preview = service.preview(actor=self.actor, payload=request_parsing.read_one(request, request_parsing.PICTURE))
        if preview.answer is None and not preview.prepared.blank:
            raise Unavailable("The model is busy or away right now. Please try again in a moment.")
        return Response(_preview_body(preview))


def _preview_body(preview: Preview) -> dict:
    """As `PreviewSerializer` would show it, which would look at each pixel."""
    names = ("verdict", "digit", "certainty", "runner_up", "probabilities", "energy", "doubt")
    answer = {name: getattr(preview.answer, name, None) for name in names}
    if preview.answer is None:
        answer["verdict"] = Verdict.BLANK
    return answer | {"pixels": preview.prepared.pixels.tolist()}
