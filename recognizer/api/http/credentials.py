"""Credentials that a request carries: a bearer token, or the cookies of a browser."""

import re

from django.http import HttpRequest
from rest_framework.request import Request

from recognizer.cookies import SITE_COOKIES

# Some sites use the scheme Token instead of Bearer. Such tokens are rejected with a message instead of being ignored.
TOKEN_SCHEME = re.compile(r"(?:^|,)\s*(?:bearer|token)\b", re.IGNORECASE)
# https://www.rfc-editor.org/rfc/rfc6750#section-2.1
CREDENTIALS = re.compile(r"(?:bearer|token) +(?P<key>[a-z0-9._~+/-]{1,200}=*)", re.IGNORECASE)


def bearer_token(request: Request | HttpRequest) -> str | None:
    """Return the key in the Authorization header, "" if the header is malformed, or None if it has no token.

    Other schemes, such as the `Basic` of a proxy, are ignored. A header that the web server cannot decode arrives
    empty. It counts as malformed, so that a client that tried to authenticate is not treated as anonymous.
    """
    header: str | None = request.META.get("HTTP_AUTHORIZATION")
    if header is None:
        return None
    header = header.strip(" \t")
    if match := CREDENTIALS.fullmatch(header):
        return match["key"]
    return "" if not header or not header.isascii() or TOKEN_SCHEME.search(header) else None


def is_browser(request: Request | HttpRequest) -> bool:
    """Return whether the request carries a cookie of the site and no token.

    Another site may have caused such a request, so it needs a CSRF token. No site can make a browser send a bearer
    token.
    """
    return bearer_token(request) is None and any(name in request.COOKIES for name in SITE_COOKIES)
