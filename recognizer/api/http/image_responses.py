"""Responses with images: stored images, model inputs and explanations."""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from django.http import HttpResponse
from django.utils.cache import get_conditional_response, patch_cache_control
from PIL import Image
from rest_framework.request import Request

# Images are uploaded by strangers. If a browser interprets one as a page, nothing in it may run or load.
IMAGE_POLICY = "default-src 'none'; sandbox"


def image_response(
    request: Request, *, etag: str, content_type: str, read: Callable[[], bytes], changes: bool = False
) -> HttpResponse:
    """Return an image that only the caller's browser may cache, or 304 if the browser has it already.

    Args:
        request: The request, for its conditional headers.
        etag: Entity tag without quotes.
        content_type: Media type of the image.
        read: Returns the content. Not called for a 304.
        changes: Whether the image may change, so that the browser has to ask each time.
    """
    response: HttpResponse | None = get_conditional_response(request, etag=f'"{etag}"')
    if response is None:
        response = HttpResponse(read(), content_type=content_type)
    response["ETag"] = f'"{etag}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = IMAGE_POLICY
    response["Content-Disposition"] = "inline"
    response["Vary"] = "Cookie, Authorization, X-Manage-Key"
    patch_cache_control(response, private=True, **({"no_cache": True} if changes else {"max_age": 3600}))
    return response


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode an image as PNG.

    Args:
        pixels: uint8 of shape (height, width) or (height, width, 3).
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
