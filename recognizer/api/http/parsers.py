"""Parsers of request bodies: JSON, forms, and pictures as they are. Named in the settings and by the views.

How large a body may be is the view's to say (`ApiView.max_body_bytes`); here its shape is bounded, before it is built.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import IO

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.http.multipartparser import MAX_TOTAL_HEADER_SIZE
from django.utils.datastructures import MultiValueDict
from django.utils.http import parse_header_parameters
from multipart import MultipartError, MultipartParser
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, JSONParser
from rest_framework.utils import json

from recognizer.services.lib.errors import detach

from .json_shape import check_shape
from .problems import BodyTooLarge

# Bytes of one field of a form that is no file; the longest there is are the four numbers of a crop box.
MAX_FIELD_BYTES = 4096


class JsonParser(JSONParser):
    """JSON of a bounded shape, without NaN and Infinity."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002 - the framework's signature
        parser_context: Mapping | None = None,  # noqa: ARG002
    ) -> object:
        body = stream.read()
        check_shape(body)
        try:
            return json.loads(body.decode())
        except RecursionError as error:
            raise ParseError("JSON parse error - nested too deeply.") from error
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from error


class FormParser(BaseParser):
    """A form that may hold files, with Django's limits. Django's own parser takes ten times as long for a small one."""

    media_type = "multipart/form-data"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping | None = None,  # noqa: ARG002 - the framework's signature
    ) -> DataAndFiles:
        form = MultipartParser(
            stream,
            parse_header_parameters(media_type or "")[1].get("boundary", ""),
            headersize_limit=MAX_TOTAL_HEADER_SIZE,
            part_limit=math.inf,  # they are counted here, each kind by itself
            # No temporary files: the body is bounded, and each file in it is needed in memory anyway.
            spool_limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
            memory_limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        )
        fields, files = QueryDict(mutable=True), MultiValueDict()
        counts = Counter()
        try:
            for part in form:
                if part.filename is None:
                    if part.size > MAX_FIELD_BYTES:
                        raise BodyTooLarge(f"A field that is not a file may have {MAX_FIELD_BYTES} bytes at most.")
                    fields.appendlist(part.name, part.raw.decode(errors="replace"))
                elif part.filename:  # else a browser's field for a file that nobody chose
                    files.appendlist(
                        part.name, UploadedFile(part.file, part.filename, part.content_type, size=part.size)
                    )
                counts[part.filename is None] += 1
                if counts[True] > settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:
                    raise TooManyFieldsSent
                if counts[False] > settings.DATA_UPLOAD_MAX_NUMBER_FILES:
                    raise TooManyFilesSent
        except MultipartError as error:
            # The library keeps the error, whose traceback holds the form.
            raise ParseError(f"Multipart form parse error - {error}.") from detach(error)
        return DataAndFiles(fields, files)


class PictureParser(BaseParser):
    """A picture as it is: `Content-Type: image/png` and the file's bytes. What they are is found out by decoding."""

    media_type = "image/*"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002 - the framework's signature
        parser_context: Mapping | None = None,  # noqa: ARG002
    ) -> bytes:
        return stream.read()
