"""The two operations that receive images: create submissions, and preview without storing.

Their POST does not pass through the framework's request, whose cost and reference cycles matter for these two only; see
`SlimPostView`. The path of an upload is `request_parsing` (parse), `intake` (prepare), `writer` (commit, enqueue, flush
and wait), and `submission_document` (render).
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote_plus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.serializers import DateTimeField

from ml.serving.verdicts import Verdict
from recognizer.api.authentication.cookie import CookieAuthentication
from recognizer.api.authentication.token import authenticate_token
from recognizer.api.http import idempotency as http_idempotency
from recognizer.api.http import request_parsing
from recognizer.api.http.credentials import is_browser
from recognizer.api.http.problems import (
    CONTENT_TYPE,
    Problem,
    ProblemError,
    document_of,
    problem_response,
)
from recognizer.api.http.request_parsing import Entry
from recognizer.api.http.requests import RETRY_AFTER_SECONDS, wait_preference
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
from recognizer.api.permissions import InsufficientScope
from recognizer.api.serializers.predictions import PreviewSerializer
from recognizer.api.serializers.submissions import BatchItemSerializer, StoredSubmissionSerializer
from recognizer.api.views.base import ApiView
from recognizer.middleware import anonymous_actor, ensure_visitor
from recognizer.models import Prediction, Scope, Submission, SubmissionState
from recognizer.requests import SiteRequest
from recognizer.services.identity import idempotency, permissions, throttling
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.idempotency import Claim, StoredResponse
from recognizer.services.inference import producer
from recognizer.services.submissions import intake, service, writer
from recognizer.services.submissions.intake import PreparedSubmission, SubmissionInput
from recognizer.services.submissions.service import Preview
from recognizer.services.submissions.writer import Outcome, WriteRequest

from .submissions import SubmissionListView

if TYPE_CHECKING:
    from rest_framework.request import Request

ANSWER_FIELDS = ("verdict", "digit", "certainty", "runner_up", "probabilities", "energy", "doubt")

_json, _time = JSONRenderer(), DateTimeField()


class SlimPostView(ApiView):
    """A view whose POST is a plain Django view. Other methods and the OpenAPI document are the framework's."""

    max_body_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Handle a POST; an exception becomes a problem document."""
        if request.method != "POST":
            response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
            return response
        try:
            return self.post(cast("SiteRequest", request))
        except Exception as error:  # noqa: BLE001 - `problem_response` logs unexpected ones
            problem = problem_response(error, {"request": request, "view": self})
            headers = {name: value for name, value in problem.items() if name != "Content-Type"}
            return HttpResponse(_json.render(problem.data), CONTENT_TYPE, problem.status_code, headers=headers)

    def post(self, request: SiteRequest) -> HttpResponse:
        """Return the response to a POST."""
        raise NotImplementedError

    def authenticate(self, request: SiteRequest, *, from_browser: bool) -> Actor:
        """Check the request without reading its body, and return its sender.

        Raises:
            ProblemError: The body is larger than `max_body_bytes`, or not UTF-8.
            AuthenticationFailed: The token is invalid.
            InsufficientScope: The token does not permit to submit.
            CsrfFailedError: A browser sent no valid CSRF token.
            ThrottledError: The caller has used up this minute's reads.
            NotAllowedError: The site requires an account and the caller has none.
        """
        request_parsing.check_body(request, max_bytes=self.max_body_bytes)
        if from_browser:
            request.POST = QueryDict()  # the CSRF token is in a header, and the check must not parse the body
            CookieAuthentication().enforce_csrf(cast("Request", request))
        elif "Authorization" not in request.headers or authenticate_token(request) is None:
            request.actor = anonymous_actor(request)
        elif not request.actor.has_scope(Scope.SUBMIT):
            raise InsufficientScope((Scope.SUBMIT,))
        throttling.count_request(request.actor, is_safe=False)
        permissions.require_submitter(request.actor)
        return ensure_visitor(request) if from_browser else request.actor


class SubmissionsView(SlimPostView, SubmissionListView):
    """List and creation of submissions."""

    head = SubmissionListView.get  # else Django binds one to each view, which is a reference cycle

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
    def post(self, request: SiteRequest) -> HttpResponse:
        """Create a submission from an image or strokes of one digit, or a batch of up to 100.

        Waits for the prediction: 201 includes it. 202 if it takes longer; read the submission later at `Location`.

        A batch is a JSON list, or a form with several parts `image`. The response is 207 with the result for each
        image. An invalid image does not affect the others.
        """
        from_browser = is_browser(request)
        actor = self.authenticate(request, from_browser=from_browser)
        body = request_parsing.read_body(request)
        has_key = http_idempotency.HEADER in request.headers
        claim = http_idempotency.acquire(request, body, actor=actor) if has_key else None
        if isinstance(claim, StoredResponse):
            content, status = json.loads(claim.body), claim.status
            headers = {**claim.headers, "Idempotent-Replayed": "true"}
        else:
            try:
                content, status, headers = _create(request, body, claim, from_browser=from_browser)
            except BaseException:
                if claim is not None:
                    idempotency.release(claim)
                raise
            if claim is not None:
                idempotency.complete(claim, StoredResponse(status, headers, _json.render(content).decode()))
        if not actor.is_known:
            # Added after the response was stored: no row contains a manage key.
            for submission in [item.get("submission") for item in content] if status == 207 else [content]:
                if submission:
                    submission["manage_key"] = permissions.manage_key(submission["id"])
        return _response(content, status, headers)


class PreviewView(SlimPostView):
    """Prediction without storing."""

    @extend_schema(
        operation_id="preview",
        tags=["preview"],
        parameters=[CROP],
        request=IMAGE_BODIES,
        examples=[DRAWING_EXAMPLE],
        responses={200: PreviewSerializer, **problems(400, 403, 413, 415, 422, 429, 503)},
    )
    def post(self, request: SiteRequest) -> HttpResponse:
        """Return the live model's prediction for an image or strokes without storing anything."""
        from_browser = is_browser(request)
        actor = self.authenticate(request, from_browser=from_browser)
        body = request_parsing.read_body(request)
        inputs, is_batch = request_parsing.parse_inputs(request, body, request_parsing.IMAGE, from_browser=from_browser)
        if is_batch:
            raise ValidationError("Send one picture.")
        preview = service.preview(actor=actor, payload=cast("SubmissionInput", inputs[0]))
        if preview.answer is None and not preview.prepared.is_empty:
            raise ProblemError("unavailable")
        return _response(preview_document(preview), 200)


def _create(
    request: SiteRequest, body: Any, claim: Claim | None, *, from_browser: bool
) -> tuple[Any, int, dict[str, str]]:
    """Store the submissions of a request, unless an earlier attempt did.

    Returns:
        The content of the response without manage keys, its status, and headers.
    """
    wait, timeout = wait_preference(request.headers)
    entries, is_batch = request_parsing.parse_inputs(
        request, body, request_parsing.NEW_SUBMISSION, from_browser=from_browser
    )
    if claim is not None and claim.stored is not None:
        outcomes = _recorded_outcomes(claim.stored, timeout, caller=request.actor.caller_key)
    elif is_batch:
        items = _prepare_batch(request.actor, entries)
        outcomes = writer.store(WriteRequest(actor=request.actor, items=items, claim=claim, wait=wait, timeout=timeout))
    else:
        # The parser raises the error of a single input.
        payload = cast("SubmissionInput", entries[0])
        outcomes = [writer.store_input(payload, actor=request.actor, claim=claim, wait=wait, timeout=timeout)]
    if is_batch:
        return [_batch_item(request, outcome) for outcome in outcomes], 207, {}
    [outcome] = outcomes
    if not isinstance(outcome, Submission):
        raise ProblemError("deleted")
    read_key = permissions.read_key(outcome)
    headers = {"Location": f"{_path(outcome)}?key={read_key}"}
    status = _status(outcome)
    if status == 202:
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    return submission_document(request, outcome, read_key), status, headers


def _prepare_batch(actor: Actor, entries: Sequence[Entry]) -> list[PreparedSubmission | Problem]:
    """Prepare the inputs of a batch; an invalid one becomes its problem document."""
    prepared = iter(intake.prepare_all([entry for entry in entries if isinstance(entry, SubmissionInput)], actor=actor))
    results = [next(prepared) if isinstance(entry, SubmissionInput) else entry for entry in entries]
    return [document_of(item)[0] if isinstance(item, Exception) else item for item in results]


def _recorded_outcomes(stored: Sequence[dict[str, Any]], timeout: float, *, caller: str) -> list[Outcome]:
    """Return the outcomes recorded for an idempotency key.

    Args:
        stored: The recorded items: a submission's primary key, a problem document, or a mark that it was deleted.
        timeout: Maximum time to wait for pending predictions, in seconds.
        caller: Key under which the waiting is accounted.
    """
    ids = [item["submission"] for item in stored if "submission" in item]
    rows = Submission.objects.with_latest_prediction().without_large_columns().in_bulk(ids)
    producer.enqueue_and_wait(list(rows.values()), timeout=timeout, caller=caller)
    deleted = document_of(ProblemError("deleted"))[0]
    return [rows.get(item.get("submission", 0)) or item.get("problem", deleted) for item in stored]


def _response(content: Any, status: int, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(_json.render(content), "application/json", status, headers=headers)


def _status(submission: Submission) -> int:
    return 201 if submission.state == SubmissionState.PREDICTED else 202


def _path(submission: Submission) -> str:
    return reverse("api-submission", args=[submission.public_id])


def _batch_item(request: SiteRequest, outcome: Outcome) -> dict[str, Any]:
    """Return what `BatchItemSerializer` would."""
    if not isinstance(outcome, Submission):
        return {"status": outcome["status"], "problem": outcome}
    document = submission_document(request, outcome, permissions.read_key(outcome))
    return {"status": _status(outcome), "submission": document}


def submission_document(request: SiteRequest, submission: Submission, read_key: str) -> dict[str, Any]:
    """Return what `StoredSubmissionSerializer` would, for a fraction of its cost."""
    root = f"{request.scheme}://{request.get_host()}"
    query = "" if request.actor.is_known else f"?key={quote_plus(read_key)}"
    url = f"{root}{_path(submission)}"
    return {
        "id": submission.public_id,
        "url": f"{url}{query}",
        "page": f"{root}{submission.get_absolute_url()}{query}",
        "image": f"{url}/image{query}",
        "pixels": f"{url}/pixels.png{query}",
        "created": _time.to_representation(submission.created),
        "source": submission.source,
        "state": submission.state,
        "failure": submission.failure,
        "mine": request.actor.is_known,
        "may_train": submission.may_train,
        "width": submission.picture_width,
        "height": submission.picture_height,
        "crop": submission.crop,
        "truth": submission.truth or None,
        "truth_state": submission.truth_state,
        "prediction": submission.latest_prediction and _prediction_document(submission, submission.latest_prediction),
        "read_key": read_key,
        "manage_key": None,
    }


def _prediction_document(submission: Submission, prediction: Prediction) -> dict[str, Any]:
    return {
        **{name: getattr(prediction, name) for name in ANSWER_FIELDS},
        "id": prediction.pk,
        "version": prediction.version.number,
        "preprocessing_version": prediction.preprocessing_version,
        "crop": prediction.crop_box,
        "created": _time.to_representation(prediction.created),
        "milliseconds": prediction.milliseconds,
        "reading": submission.reading_kind(prediction),
    }


def preview_document(preview: Preview) -> dict[str, Any]:
    """Return what `PreviewSerializer` would, without validating each pixel."""
    answer = {name: getattr(preview.answer, name, None) for name in ANSWER_FIELDS}
    if preview.answer is None:
        answer["verdict"] = Verdict.BLANK
    reading = preview.reading
    return answer | {"reading": reading.kind, "pixels": reading.pixels.tolist()}
