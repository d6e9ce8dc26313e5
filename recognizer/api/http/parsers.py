"""The parser of JSON bodies, registered in the settings.

Views limit the size of the body (`max_body_bytes`); the parser limits its shape before it builds objects.
"""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.utils import json

from .json_shape import check_shape


class JsonParser(JSONParser):
    """JSON of a bounded shape, without NaN and Infinity."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002 - the framework's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        """Return the parsed body.

        Raises:
            ProblemError: The body has too many values.
            ParseError: The body is not valid JSON, or its shape is not accepted.
        """
        body = stream.read()
        check_shape(body)
        try:
            return json.loads(body.decode())
        except RecursionError as error:
            raise ParseError("JSON parse error - nested too deeply.") from error
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from error
