"""Submissions: send, list, read, delete; their pictures; preview."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import get_conditional_response, patch_cache_control
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from PIL import Image
from rest_framework.request import Request
from rest_framework.response import Response

from ml.verdicts import Verdict
from recognizer.api import prefer
from recognizer.api.base import ApiView, ListView, checked
from recognizer.api.callers import is_browser
from recognizer.api.fields import (
    NewSubmissionFormSerializer,
    NewSubmissionJsonSerializer,
    PictureFormSerializer,
    PictureJsonSerializer,
)
from recognizer.api.problems import Unavailable
from recognizer.api.schema import A_SEVEN, KEY, PREFER, PUBLIC_ID, describe_list, problems
from recognizer.api.serializers import (
    PreviewSerializer,
    StoredSubmissionSerializer,
    SubmissionDetailSerializer,
    SubmissionSerializer,
)
from recognizer.api.throttles import Kind
from recognizer.filters import SubmissionFilter
from recognizer.models import Source, Submission
from recognizer.services import access, handoff, pictures, submissions
from recognizer.services.submissions import Preview

RETRY_AFTER_SECONDS = "1"
# Pictures came from strangers: should a browser ever take one for a page, nothing in it may run or load.
PICTURE_POLICY = "default-src 'none'; sandbox"


NEW_SUBMISSION = {"application/json": NewSubmissionJsonSerializer, "multipart/form-data": NewSubmissionFormSerializer}
LOCATION = OpenApiParameter(
    "Location",
    location=OpenApiParameter.HEADER,
    response=[201, 202],
    description="Where to read it, by a read key.",
)
RETRY_AFTER = OpenApiParameter(
    "Retry-After", OpenApiTypes.INT, OpenApiParameter.HEADER, response=[202], description="Seconds."
)


class SubmissionsView(ListView):
    filterset_class = SubmissionFilter
    serializer_class = SubmissionSerializer
    counts_as = {"POST": Kind.SUBMIT}

    def rows(self) -> QuerySet[Submission]:
        return submissions.with_answers(access.visible_submissions(self.actor))

    @describe_list(SubmissionFilter, SubmissionSerializer, operation_id="list_submissions", tags=["submissions"])
    def get(self, request: Request) -> Response:
        """The caller's submissions; reviewers and operators see all."""
        return super().get(request)

    @extend_schema(
        operation_id="create_submission",
        tags=["submissions"],
        parameters=[PREFER, LOCATION, RETRY_AFTER],
        request=NEW_SUBMISSION,
        examples=[A_SEVEN],
        responses={
            201: OpenApiResponse(StoredSubmissionSerializer, "Stored and answered."),
            202: OpenApiResponse(StoredSubmissionSerializer, "Stored; the answer takes longer."),
            **problems(400, 403, 413, 415, 422, 429, 503),
        },
    )
    def post(self, request: Request) -> Response:
        """Send a picture or strokes of one digit.

        Waits a moment for the prediction: 201 with it. 202 when it takes longer: read it later at `Location`.
        """
        submission = self._accept(request)
        prediction = handoff.wait_for(submission, prefer.wait_seconds(request.headers))
        key = access.read_key(submission)
        context = {"request": request, "key": "" if self.actor.is_known else key}
        headers = {"Location": f"{reverse('api-submission', args=[submission.public_id])}?key={key}"}
        if prediction is None:
            headers["Retry-After"] = RETRY_AFTER_SECONDS
        body = StoredSubmissionSerializer(submission, context=context).data
        return Response(body, status=202 if prediction is None else 201, headers=headers)

    def _accept(self, request: Request) -> Submission:
        fields = checked(request, form=NewSubmissionFormSerializer, json=NewSubmissionJsonSerializer)
        by_page = is_browser(request)
        if "strokes" in fields:
            return submissions.accept_strokes(
                actor=self.sender,
                strokes=fields["strokes"],
                frame=fields["frame"],
                source=Source.CANVAS if by_page else Source.API,
                may_train=fields["may_train"],
            )
        return submissions.accept_image(
            actor=self.sender,
            data=fields["image"],
            crop=fields.get("crop"),
            source=Source.UPLOAD if by_page else Source.API,
            may_train=fields["may_train"],
        )


READ = {"tags": ["submissions"], "parameters": [PUBLIC_ID, KEY]}


class SubmissionView(ApiView):
    @extend_schema(operation_id="read_submission", responses={200: SubmissionDetailSerializer, **problems(404)}, **READ)
    def get(self, request: Request, public_id: str) -> Response:
        """One submission with its latest prediction."""
        submission = self.readable_submission(public_id)
        return Response(SubmissionDetailSerializer(submission, context={"request": request, "key": self.key}).data)

    @extend_schema(operation_id="delete_submission", responses={204: None, **problems(403, 404)}, **READ)
    def delete(self, _request: Request, public_id: str) -> Response:
        """Delete it with its predictions, its labels and its picture. Only whoever sent it, and operators."""
        submissions.delete(actor=self.actor, submission=self.readable_submission(public_id))
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
            request._request,  # noqa: SLF001 - Django's own request for Django's own helpers
            etag=submission.picture.rpartition("/")[2],
            content_type=submission.picture_type,
            read=lambda: pictures.read(submission),
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
            request._request,  # noqa: SLF001
            etag=hashlib.sha256(pixels).hexdigest(),
            content_type="image/png",
            read=lambda: _png(pixels),
        )


class PreviewView(ApiView):
    counts_as = {"POST": Kind.PREVIEW}

    @extend_schema(
        operation_id="preview",
        tags=["preview"],
        request={"application/json": PictureJsonSerializer, "multipart/form-data": PictureFormSerializer},
        examples=[A_SEVEN],
        responses={200: PreviewSerializer, **problems(400, 403, 413, 415, 422, 429, 503)},
    )
    def post(self, request: Request) -> Response:
        """What the live model says of a picture or strokes; nothing is stored."""
        fields = checked(request, form=PictureFormSerializer, json=PictureJsonSerializer)
        if "strokes" in fields:
            preview = submissions.preview_strokes(strokes=fields["strokes"], frame=fields["frame"])
        else:
            preview = submissions.preview_image(data=fields["image"], crop=fields.get("crop"))
        if preview.answer is None and not preview.prepared.blank:
            raise Unavailable("The model is busy or away right now. Please try again in a moment.")
        return Response(PreviewSerializer(_preview_body(preview)).data)


def _preview_body(preview: Preview) -> dict:
    names = ("verdict", "digit", "certainty", "runner_up", "probabilities", "energy", "doubt")
    answer = {name: getattr(preview.answer, name, None) for name in names}
    if preview.answer is None:
        answer["verdict"] = Verdict.BLANK
    return answer | {"pixels": preview.prepared.pixels.tolist()}


def picture_response(request: HttpRequest, *, etag: str, content_type: str, read: Callable[[], bytes]) -> HttpResponse:
    """A picture that only this caller's browser may keep, and that no browser runs; 304 if it is there already."""
    response = get_conditional_response(request, etag=f'"{etag}"')
    if response is None:
        response = HttpResponse(read(), content_type=content_type)
    response["ETag"] = f'"{etag}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = PICTURE_POLICY
    response["Content-Disposition"] = "inline"
    response["Vary"] = "Cookie"
    patch_cache_control(response, private=True, max_age=3600)
    return response


def _png(pixels: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(28, 28)).save(buffer, "PNG")
    return buffer.getvalue()
