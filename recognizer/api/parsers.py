"""How bodies are read. The framework is told of it in the settings."""

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
from multipart import MultipartError, MultipartParser
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, JSONParser


class JsonParser(JSONParser):
    """The framework's parser, which refuses NaN, and which here also refuses brackets without end."""

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping | None = None) -> object:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("JSON parse error - nested too deeply.") from error


class FormParser(BaseParser):
    """A form that may hold files, with Django's limits. Django's own parser takes ten times as long for a small one."""

    media_type = "multipart/form-data"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002 - the framework's signature
        parser_context: Mapping | None = None,
    ) -> DataAndFiles:
        inner = parser_context["request"]._request  # noqa: SLF001 - Django has read the content type already
        form = MultipartParser(
            stream,
            inner.content_params.get("boundary", ""),
            headersize_limit=MAX_TOTAL_HEADER_SIZE,
            part_limit=math.inf,  # they are counted here, each kind by itself
            spool_limit=settings.FILE_UPLOAD_MAX_MEMORY_SIZE,
            memory_limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        )
        fields, files = QueryDict(mutable=True), MultiValueDict()
        counts = Counter()
        try:
            for part in form:
                if part.filename is None:
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
            raise ParseError(f"Multipart form parse error - {error}.") from error
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
