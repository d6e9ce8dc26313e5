"""Exports: settled pictures with their labels, for reviewers and operators to take away."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.http import FileResponse, HttpResponse
from django.urls import reverse
from django.utils.cache import get_conditional_response, patch_cache_control
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.openapi.params import filter_parameters, problems
from recognizer.api.views.base import ApiView
from recognizer.filters import SettledFilter
from recognizer.models import Scope
from recognizer.services.data import exports
from recognizer.services.data.exports import LabelledDataset

NOT_MODIFIED = OpenApiResponse(description="The caller has it already (`If-None-Match`).")
HASH = "X-Content-Hash"
HEADERS = [
    OpenApiParameter(
        HASH,
        location=OpenApiParameter.HEADER,
        response=[200, 304],
        description="sha256 of the data: the same data gives the same hash, in every format.",
    ),
    OpenApiParameter(
        "Repr-Digest", location=OpenApiParameter.HEADER, response=[200], description="sha256 of the file (RFC 9530)."
    ),
    OpenApiParameter("ETag", location=OpenApiParameter.HEADER, response=[200, 304]),
]


def _counts(**options: object) -> serializers.DictField:
    return serializers.DictField(child=serializers.IntegerField(), **options)


class ExportFormatSerializer(serializers.Serializer):
    """A form in which to take it away."""

    format = serializers.ChoiceField(choices=exports.FORMATS)
    url = serializers.URLField(help_text="With the same filters.")


class ExportSerializer(serializers.Serializer):
    """What would be exported now."""

    count = serializers.IntegerField()
    by_truth = _counts()
    by_fold = _counts(help_text="`holdout` never trains the site's own models.")
    by_source = _counts()
    content_hash = serializers.CharField(help_text="sha256 of the data, in hexadecimal.")
    formats = ExportFormatSerializer(many=True)


class _ExportView(ApiView):
    scopes = {"GET": (Scope.REVIEW, Scope.OPERATE)}

    @contextmanager
    def gathered(self) -> Iterator[LabelledDataset]:
        """What the address asks for, as it is now."""
        rows = exports.settled_submissions(self.actor)
        found = SettledFilter(self.request.query_params, queryset=rows, actor=self.actor)
        found.check()
        with exports.snapshot(found.qs, caller=self.actor.share_key) as data:
            yield data


class ExportsView(_ExportView):
    @extend_schema(
        operation_id="read_export",
        tags=["exports"],
        parameters=filter_parameters(SettledFilter),
        responses={200: ExportSerializer, **problems(400, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        """How much settled data there is, its hash, and where to download it. For reviewers and operators."""
        query = request.query_params.urlencode()
        with self.gathered() as data:
            body = {"content_hash": data.content_hash, **data.counts()}
        body["formats"] = [
            {
                "format": form,
                "url": request.build_absolute_uri(reverse(f"api-export-{form}") + (f"?{query}" if query else "")),
            }
            for form in exports.FORMATS
        ]
        return Response(ExportSerializer(body).data)


class _ExportFileView(_ExportView):
    form = ""
    content_type = ""

    def file(self, request: Request) -> HttpResponse:
        with self.gathered() as data:
            etag = f'"{data.content_hash}-{self.form}"'
            response = get_conditional_response(request._request, etag=etag)  # noqa: SLF001 - Django's own helper
            if response is None:
                file = exports.write_archive(data, form=self.form, filters=dict(request.query_params.lists()))
                digest = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
                file.seek(0)
                response = _Download(file, as_attachment=True, filename=f"settled.{self.form}")
                response["Content-Type"] = self.content_type
                response["Repr-Digest"] = f"sha-256=:{digest}:"
        response["ETag"] = etag
        response[HASH] = data.content_hash
        patch_cache_control(response, private=True, no_cache=True)
        return response


class _Download(FileResponse):
    block_size = 256 * 1024


class ExportArraysView(_ExportFileView):
    form = "npz"
    content_type = "application/octet-stream"

    @extend_schema(
        operation_id="download_export_npz",
        tags=["exports"],
        parameters=[*filter_parameters(SettledFilter), *HEADERS],
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            304: NOT_MODIFIED,
            **problems(400, 403, 503),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """Settled data as NumPy arrays, for `numpy.load`. For reviewers and operators.

        `x` (N, 28, 28) holds what the model saw, white ink on black; `y` the digit, or -1 for what is none; and there
        are `id`, `truth`, `fold`, `source`, `created`, `preprocessing_version` and `demo`.
        """
        return self.file(request)


class ExportPicturesView(_ExportFileView):
    form = "zip"
    content_type = "application/zip"

    @extend_schema(
        operation_id="download_export_zip",
        tags=["exports"],
        parameters=[*filter_parameters(SettledFilter), *HEADERS],
        responses={(200, "application/zip"): OpenApiTypes.BINARY, 304: NOT_MODIFIED, **problems(400, 403, 503)},
    )
    def get(self, request: Request) -> HttpResponse:
        """Settled data as `settled.csv`, and a PNG of 28 x 28 for each row. For reviewers and operators."""
        return self.file(request)
