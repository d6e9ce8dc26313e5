"""Why a submission got its answer: which pixels it leaned on, as numbers and as a picture."""

import hashlib

import numpy as np
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ml.serving.bundle import BundleError
from ml.serving.occlusion import overlay
from recognizer.api.http.image_responses import picture_response, png
from recognizer.api.http.problems import Conflict
from recognizer.api.openapi.params import problems
from recognizer.api.views.base import ApiView
from recognizer.api.views.submissions import NOT_MODIFIED, READ
from recognizer.models import ModelVersion, Submission
from recognizer.services.inference import explanations


class ExplanationSerializer(serializers.Serializer):
    model_version = serializers.IntegerField(help_text="Number of the version that gave the latest answer.")
    digit = serializers.IntegerField(min_value=0, max_value=9, help_text="The answer that is explained.")
    leaning = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField(), min_length=28, max_length=28),
        min_length=28,
        max_length=28,
        help_text="28 rows of 28 numbers in -1..1: above 0 the ink there speaks for the answer, below 0 against it.",
    )


class ExplanationView(ApiView):
    @extend_schema(
        operation_id="read_submission_explanation",
        responses={200: ExplanationSerializer, **problems(404, 409)},
        **READ,
    )
    def get(self, _request: Request, public_id: str) -> Response:
        """Which pixels the latest answer leaned on; 409 while there is none."""
        submission = self.readable_submission(public_id)
        version, leaning = _explained(submission)
        return Response(
            {
                "model_version": version.number,
                "digit": submission.latest_prediction.digit,
                "leaning": np.round(leaning.astype(np.float64), 3).tolist(),
            }
        )


class ExplanationImageView(ApiView):
    @extend_schema(
        operation_id="read_submission_explanation_image",
        responses={(200, "image/png"): OpenApiTypes.BINARY, 304: NOT_MODIFIED, **problems(404, 409)},
        **READ,
    )
    def get(self, request: Request, public_id: str) -> HttpResponse:
        """The 28 x 28 that the model saw; what spoke for the answer in orange, what spoke against it in blue."""
        submission = self.readable_submission(public_id)
        # The same pixels and the same version give the same explanation.
        shown = f"{submission.latest_prediction_id} {hashlib.sha256(bytes(submission.pixels)).hexdigest()}"
        return picture_response(
            request,
            etag=hashlib.sha256(shown.encode()).hexdigest(),
            content_type="image/png",
            read=lambda: _png(submission),
        )


def _explained(submission: Submission) -> tuple[ModelVersion, np.ndarray]:
    try:
        return explanations.explanation(submission)
    except (explanations.NothingToExplainError, BundleError) as error:
        raise Conflict(str(error)) from error


def _png(submission: Submission) -> bytes:
    _, leaning = _explained(submission)
    return png(overlay(np.frombuffer(bytes(submission.pixels), np.uint8).reshape(28, 28), leaning))
