"""Exports of settled submissions with their labels, for reviewers and operators."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from django.http import FileResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.cache import get_conditional_response, patch_cache_control
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.http.lists import StrictFilterBackend
from recognizer.api.openapi.params import NOT_MODIFIED, filter_parameters, problems
from recognizer.api.serializers.exports import ExportSerializer
from recognizer.api.views.base import ApiView
from recognizer.filters import SettledFilter
from recognizer.models import Scope, SubmissionQuerySet
from recognizer.services.data import exports
from recognizer.services.data.exports import LabelledDataset

HASH_HEADER = "X-Content-Hash"
HEADERS = [
    OpenApiParameter(
        HASH_HEADER,
        location=OpenApiParameter.HEADER,
        response=[200, 304],
        description="sha256 of the data. The same data has the same hash in every format.",
    ),
    OpenApiParameter(
        "Repr-Digest", location=OpenApiParameter.HEADER, response=[200], description="sha256 of the file (RFC 9530)."
    ),
    OpenApiParameter("ETag", location=OpenApiParameter.HEADER, response=[200, 304]),
]


class _ExportView(ApiView):
    filter_backends = (StrictFilterBackend,)
    filterset_class = SettledFilter
    other_parameters = ()
    scopes = {"GET": (Scope.REVIEW, Scope.OPERATE)}

    @contextmanager
    def dataset(self) -> Iterator[LabelledDataset]:
        """Yield a snapshot of the data that the query parameters select."""
        rows = cast("SubmissionQuerySet", self.filter_queryset(exports.settled_submissions(self.actor)))
        with exports.snapshot(rows, caller=self.actor.caller_key) as data:
            yield data


class ExportsView(_ExportView):
    """Summary of the available exports."""

    @extend_schema(
        operation_id="read_export",
        tags=["exports"],
        parameters=filter_parameters(SettledFilter),
        responses={200: ExportSerializer, **problems(400, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        """Return counts of the settled data, its hash and the download URLs. For reviewers and operators."""
        query = request.query_params.urlencode()
        with self.dataset() as data:
            body = {"content_hash": data.content_hash, **data.counts()}
        body["formats"] = [
            {
                "format": name,
                "url": request.build_absolute_uri(reverse(f"api-export-{name}") + (f"?{query}" if query else "")),
            }
            for name in exports.FORMATS
        ]
        return Response(ExportSerializer(body).data)


class _ExportFileView(_ExportView):
    format_name = ""
    content_type = ""

    def file(self, request: Request) -> HttpResponseBase:
        """Return the export as a download, or 304."""
        with self.dataset() as data:
            etag = f'"{data.content_hash}-{self.format_name}"'
            response: HttpResponseBase | None = get_conditional_response(request, etag=etag)
            if response is None:
                response = self._download(data, filters=dict(request.query_params.lists()))
        response["ETag"] = etag
        response[HASH_HEADER] = data.content_hash
        patch_cache_control(response, private=True, no_cache=True)
        return response

    def _download(self, data: LabelledDataset, *, filters: dict[str, list[str]]) -> HttpResponseBase:
        file = exports.write_archive(data, form=self.format_name, filters=filters)
        digest = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()  # type: ignore[arg-type] # a real file
        file.seek(0)
        response = _Download(file, as_attachment=True, filename=f"settled.{self.format_name}")
        response["Content-Type"] = self.content_type
        response["Repr-Digest"] = f"sha-256=:{digest}:"
        return response


class _Download(FileResponse):
    block_size = 256 * 1024


class ExportArraysView(_ExportFileView):
    """Export as NumPy arrays."""

    format_name = "npz"
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
    def get(self, request: Request) -> HttpResponseBase:
        """Return settled data as NumPy arrays, for `numpy.load`. For reviewers and operators.

        `x` (N, 28, 28) contains the model's inputs, white ink on black; `y` the digit, or -1 for other labels. Further
        arrays are `id`, `truth`, `fold`, `source`, `created`, `preprocessing_version` and `demo`.
        """
        return self.file(request)


class ExportImagesView(_ExportFileView):
    """Export as PNG files with a table."""

    format_name = "zip"
    content_type = "application/zip"

    @extend_schema(
        operation_id="download_export_zip",
        tags=["exports"],
        parameters=[*filter_parameters(SettledFilter), *HEADERS],
        responses={(200, "application/zip"): OpenApiTypes.BINARY, 304: NOT_MODIFIED, **problems(400, 403, 503)},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Return settled data as `settled.csv` and a PNG of 28 x 28 for each row. For reviewers and operators."""
        return self.file(request)
