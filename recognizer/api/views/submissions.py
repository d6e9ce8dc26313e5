"""Submissions: send, list, read, delete; their pictures; preview."""

import hashlib
import io

import numpy as np
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import get_conditional_response, patch_cache_control
from PIL import Image
from rest_framework.request import Request
from rest_framework.response import Response

from ml.verdicts import Verdict
from recognizer.api import prefer
from recognizer.api.base import ApiView, ListView
from recognizer.api.callers import is_browser
from recognizer.api.fields import NewSubmissionSerializer, PictureSerializer
from recognizer.api.problems import Unavailable
from recognizer.api.serializers import (
    PreviewSerializer,
    StoredSubmissionSerializer,
    SubmissionDetailSerializer,
    SubmissionSerializer,
)
from recognizer.filters import SubmissionFilter
from recognizer.models import Source, Submission
from recognizer.services import access, handoff, pictures, submissions
from recognizer.services.submissions import Preview

RETRY_AFTER_SECONDS = "1"
# Pictures came from strangers: should a browser ever take one for a page, nothing in it may run or load.
PICTURE_POLICY = "default-src 'none'; sandbox"


class SubmissionsView(ListView):
    filterset_class = SubmissionFilter
    serializer_class = SubmissionSerializer

    def rows(self):
        return submissions.with_answers(access.visible_submissions(self.actor))

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
        sent = NewSubmissionSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        fields = sent.validated_data
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


class SubmissionView(ApiView):
    def get(self, request: Request, public_id: str) -> Response:
        submission = self.readable_submission(public_id)
        return Response(SubmissionDetailSerializer(submission, context={"request": request, "key": self.key}).data)

    def delete(self, _request: Request, public_id: str) -> Response:
        submissions.delete(actor=self.actor, submission=self.readable_submission(public_id))
        return Response(status=204)


class SubmissionImageView(ApiView):
    def get(self, request: Request, public_id: str) -> HttpResponse:
        submission = self.readable_submission(public_id)
        # The name is the hash of what it holds.
        return picture_response(
            request._request,  # noqa: SLF001 - Django's own request for Django's own helpers
            etag=submission.picture.rpartition("/")[2],
            content_type=submission.picture_type,
            read=lambda: pictures.read(submission),
        )


class SubmissionPixelsView(ApiView):
    def get(self, request: Request, public_id: str) -> HttpResponse:
        pixels = bytes(self.readable_submission(public_id).pixels)
        return picture_response(
            request._request,  # noqa: SLF001
            etag=hashlib.sha256(pixels).hexdigest(),
            content_type="image/png",
            read=lambda: _png(pixels),
        )


class PreviewView(ApiView):
    def post(self, request: Request) -> Response:
        """What the live model says of a picture or strokes; nothing is stored."""
        sent = PictureSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        fields = sent.validated_data
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


def picture_response(request: HttpRequest, *, etag: str, content_type: str, read) -> HttpResponse:
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
