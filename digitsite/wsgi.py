"""Django's WSGI handler, which the receiver (digitsite/asgi.py) runs in its threads."""

import os

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digitsite.settings")


class Request(WSGIRequest):
    """A request whose body is UTF-8, whatever charset its content type names.

    Django decodes even the address by the charset of the body, be it `hex`, and fails before any view.
    """

    def close(self) -> None:
        """Close the uploaded files and let go of all else, once the response has been sent.

        Django's middleware hangs objects on a request that hold the request (`user`, messages, the context of a
        template). Such a cycle would keep the body until the garbage collector finds it.
        """
        super().close()
        vars(self).clear()

    def _set_content_type_params(self, meta: dict) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except (ValueError, LookupError):
            # As if the body had no content type.
            meta["CONTENT_TYPE"] = self.content_type = "application/octet-stream"
            self.content_params = {}


class Handler(WSGIHandler):
    request_class = Request


django.setup(set_prefix=False)
application = Handler()
