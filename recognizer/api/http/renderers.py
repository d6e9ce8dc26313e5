"""How answers are written. The framework is told of it in the settings."""

from collections.abc import Mapping

from rest_framework.renderers import JSONRenderer


class JsonRenderer(JSONRenderer):
    """The framework's renderer; it would look into its own media type for an indentation, each time."""

    def get_indent(self, _media_type: str, _context: Mapping) -> None:
        return None
