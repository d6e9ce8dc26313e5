"""Renderer of JSON responses, registered in DEFAULT_RENDERER_CLASSES."""

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import JSONRenderer


class JsonRenderer(JSONRenderer):
    """The framework's renderer without indentation."""

    def get_indent(self, _media_type: str, _context: Mapping[str, Any]) -> None:
        """Return None without parsing the accepted media type for an `indent` parameter."""
