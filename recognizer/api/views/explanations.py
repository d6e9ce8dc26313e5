"""Explanations: the contribution of each pixel to a submission's prediction, as numbers and as an image."""

import hashlib

import numpy as np
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from ml.serving.occlusion import overlay
from recognizer.api.http.image_responses import encode_png, image_response
from recognizer.api.openapi.params import NOT_MODIFIED, describe_submission, problems
from recognizer.api.serializers.predictions import ExplanationSerializer
from recognizer.api.views.base import ApiView
from recognizer.models import Submission
from recognizer.services.inference import explanations


class ExplanationView(ApiView):
    """Explanation as numbers."""

    @describe_submission(
        operation_id="read_submission_explanation",
        responses={200: ExplanationSerializer, **problems(404, 409)},
    )
    def get(self, _request: Request, public_id: str) -> Response:
        """Return the contribution of each pixel to the latest prediction; 409 while there is none."""
        submission = self.readable_submission(public_id)
        version, contributions = explanations.explanation(submission)
        prediction = submission.latest_prediction
        return Response(
            {
                "model_version": version.number,
                "digit": None if prediction is None else prediction.digit,
                "leaning": np.round(contributions.astype(np.float64), 3).tolist(),
            }
        )


class ExplanationImageView(ApiView):
    """Explanation as an image."""

    @describe_submission(
        operation_id="read_submission_explanation_image",
        responses={(200, "image/png"): OpenApiTypes.BINARY, 304: NOT_MODIFIED, **problems(404, 409)},
    )
    def get(self, request: Request, public_id: str) -> HttpResponse:
        """Return the model's input with supporting pixels in orange and opposing pixels in blue."""
        submission = self.readable_submission(public_id)
        # The explanation is determined by the pixels and the version.
        identity = f"{submission.latest_prediction_id} {hashlib.sha256(submission.seen_pixels.tobytes()).hexdigest()}"
        return image_response(
            request,
            etag=hashlib.sha256(identity.encode()).hexdigest(),
            content_type="image/png",
            read=lambda: _render(submission),
            changes=True,
        )


def _render(submission: Submission) -> bytes:
    """Return the explanation as a PNG file."""
    _, contributions = explanations.explanation(submission)
    return encode_png(overlay(submission.seen_pixels, contributions))
