"""How bodies are read. The framework is told of it in the settings."""

from collections.abc import Mapping
from typing import IO

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser


class JsonParser(JSONParser):
    """The framework's parser, which refuses NaN, and which here also refuses brackets without end."""

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping | None = None) -> object:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("JSON parse error - nested too deeply.") from error


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
