"""The WSGI application, which the receiver (digitsite/asgi.py) runs in its threads."""

import os
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digitsite.settings")


class Request(WSGIRequest):
    """A request that ignores the charset of its content type and is always UTF-8.

    Django also decodes the URL with this charset and fails before any view if it is not a text encoding, such as `hex`.
    """

    def close(self) -> None:
        """Close the uploaded files and clear all attributes, after the response has been sent.

        Django's middleware sets attributes that refer to the request (`user`, messages, the template context). Such a
        reference cycle would keep the body in memory until the garbage collector runs.
        """
        super().close()
        vars(self).clear()

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except (ValueError, LookupError):
            # Treat the body as one without a content type.
            meta["CONTENT_TYPE"] = self.content_type = "application/octet-stream"
            self.content_params = {}


class Handler(WSGIHandler):
    """Django's WSGI handler with this project's request class."""

    request_class = Request


django.setup(set_prefix=False)
application = Handler()
