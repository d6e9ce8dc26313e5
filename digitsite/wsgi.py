"""The WSGI application that granian serves: `granian --interface wsgi digitsite.wsgi:application`.

Two kinds of request are set right before Django reads them: it would fail on the one with no answer but a bare 500, and
take the other for empty.
"""

import gc
import io
import os

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digitsite.settings")


class Request(WSGIRequest):
    """A request whose text is UTF-8, and whose body has a length."""

    def __init__(self, environ: dict) -> None:
        if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() and not environ.get("CONTENT_LENGTH"):
            _read_chunks(environ)
        super().__init__(environ)

    def _set_content_type_params(self, meta: dict) -> None:
        """Django's own would decode even the address by the charset of the body, be it `hex`."""
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except (ValueError, LookupError):
            # Like a body of which nothing is said.
            meta["CONTENT_TYPE"] = self.content_type = "application/octet-stream"
            self.content_params = {}


def _read_chunks(environ: dict) -> None:
    """A body that is sent as it is made says nothing of its length; one byte more than is allowed is refused later."""
    body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))


class Handler(WSGIHandler):
    request_class = Request


django.setup(set_prefix=False)
application = Handler()

from recognizer.services import handoff  # noqa: E402 - Django has to be set up first

handoff.prepare()
# What is there by now stays as long as the process does. The collector need not look through it again and again, which
# took an eighth of a request's time when many come at once.
gc.collect()
gc.freeze()
# A request makes a thousand objects and hardly any circle of them, so looking for circles every 700 finds nothing.
gc.set_threshold(10_000, 10, 10)
