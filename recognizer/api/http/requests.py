"""The framework's request, which reads what came without looking a dozen times at what kind of thing it is."""

from collections.abc import Sequence

from django.http import HttpRequest
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


class ApiRequest(Request):
    """A request to one of our views."""

    def __init__(self, request: HttpRequest, **more: object) -> None:
        super().__init__(request, **more)
        del self.parser_context["request"]  # a reference cycle; the parsers here do not need it
        # Asked for many times each; by itself the framework asks Django's request each time, after two failures.
        self.META, self.method, self.COOKIES, self.path = request.META, request.method, request.COOKIES, request.path

    @property
    def media_type(self) -> str:
        """What the body says that it is, in small letters and without parameters: Django has read it already."""
        return self._request.content_type

    def _load_data_and_files(self) -> None:
        self._data, self._files = self._parse()
        self._full_data = self._data
        if self._files:
            self._full_data = self._data.copy()
            self._full_data.update(self._files)
        if self.media_type in FORMS:
            # Where Django looks for files that are to be closed.
            self._request._post, self._request._files = self._data, self._files  # noqa: SLF001


class JsonOnlyNegotiation(DefaultContentNegotiation):
    """Every resource has one form, whatever `Accept` says; the content type of what is *sent* does matter."""

    def select_parser(self, request: ApiRequest, parsers: Sequence[BaseParser]) -> BaseParser | None:
        if len(request.content_type) > self.max_media_type_length:
            return None
        kind, slash, _ = request.media_type.partition("/")
        wanted = (request.media_type, f"{kind}{slash}*")
        return next((parser for parser in parsers if parser.media_type in wanted), None)

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 - the framework's signature
        renderers: Sequence[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type
