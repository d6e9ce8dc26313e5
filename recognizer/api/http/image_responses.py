"""Pictures as responses: what was kept, what the model saw, and why it said so."""

import io
from collections.abc import Callable

import numpy as np
from django.http import HttpResponse
from django.utils.cache import get_conditional_response, patch_cache_control
from PIL import Image
from rest_framework.request import Request

# Pictures came from strangers: should a browser ever take one for a page, nothing in it may run or load.
PICTURE_POLICY = "default-src 'none'; sandbox"


def picture_response(request: Request, *, etag: str, content_type: str, read: Callable[[], bytes]) -> HttpResponse:
    """A picture that only this caller's browser may keep, and that no browser runs; 304 if it is there already."""
    response = get_conditional_response(request._request, etag=f'"{etag}"')  # noqa: SLF001 - Django's helper, its request
    if response is None:
        response = HttpResponse(read(), content_type=content_type)
    response["ETag"] = f'"{etag}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = PICTURE_POLICY
    response["Content-Disposition"] = "inline"
    response["Vary"] = "Cookie, Authorization, X-Manage-Key"
    patch_cache_control(response, private=True, max_age=3600)
    return response


def png(pixels: np.ndarray) -> bytes:
    """uint8 (height, width) or (height, width, 3) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
