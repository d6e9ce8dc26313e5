"""Image storage: re-encodes uploads and stores them content-addressed (SHA-256).

No upload is stored unchanged: every image is decoded and encoded again, which removes metadata and any other hidden
data. The name of a file is the sha256 of its bytes, so equal images share one file. A file is written before the row
that refers to it; `services.images.orphaned_files` removes files without a row.
"""

import hashlib
import io
import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.core.files.storage import default_storage
from PIL import Image

from ml.serving import images
from recognizer.models import Submission
from recognizer.services.lib.fair_slots import FairSlots
from recognizer.services.lib.process_share import per_process
from recognizer.services.lib.units import MEGABYTE

from . import png_encoder
from .orphaned_files import FOLDER

log = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg"}
CONTENT_TYPES = {extension: content_type for content_type, extension in EXTENSIONS.items()}

# Up to this many pixels an image is stored losslessly, also a photograph: a 320 x 320 PNG is small and fast to encode.
LOSSLESS_PIXELS = 320 * 320
# A larger image counts as a drawing (and is stored losslessly) if this share of its pixels has one grey value: the
# background of a drawing is uniform, paper under a camera is not.
FLAT_SHARE = 0.3
JPEG_QUALITY = 90

# Limits of an image that is cheap to decode: it takes some milliseconds, however it was made. Memory in bytes.
CHEAP_MEMORY, CHEAP_PIXELS, CHEAP_FILE_BYTES = 1_000_000, 500_000, 200_000
DECODE_WAIT_SECONDS = 20
# Maximum of expensive images that are decoded at once (memory permitting) or wait. Each of them occupies a thread of
# the web server, and pages need the other threads.
MAX_DECODING, MAX_WAITING = 8, 10
BUSY = "Many large pictures are being read right now. Please try again in a moment."

# Weights are bytes of memory.
_decoding = FairSlots(settings.DECODE_MEGABYTES * MEGABYTE, max_waiting=MAX_WAITING, busy=BUSY)


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image in the form in which it is stored.

    Attributes:
        name: its name in the storage, derived from the bytes.
        data: the bytes of its file.
        pixels: the pixels of the stored file (after lossy compression), in the form of `ml.serving.images.read`; the
            input of preprocessing.
        sha256: the hash of `data`, as hexadecimal.
        content_type: image/png or image/jpeg.
    """

    name: str
    data: bytes
    pixels: Pixels
    sha256: str
    content_type: str

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])


def open_upload(data: bytes, *, max_pixels: int | None = None) -> images.ImageHeader:
    """Read the header of an uploaded file, without decoding the image.

    Args:
        data: the bytes of the file.
        max_pixels: the largest accepted width times height; MAX_UPLOAD_PIXELS by default.

    Raises:
        ml.serving.images.ImageError: the file is not an image of a supported format, or it exceeds a limit.
    """
    limits = images.Limits(
        max_bytes=settings.MAX_UPLOAD_BYTES,
        max_pixels=settings.MAX_UPLOAD_PIXELS if max_pixels is None else max_pixels,
        max_memory=settings.DECODE_MEGABYTES * MEGABYTE,
    )
    return images.open_image(data, limits, working_side=settings.MAX_STORED_IMAGE_SIDE)


def decode(header: images.ImageHeader, *, caller: str) -> tuple[Pixels, Size]:
    """Decode an upload and reduce it to at most MAX_STORED_IMAGE_SIDE.

    Args:
        header: the header of the upload, from `open_upload`.
        caller: the key under which memory and time for decoding are accounted (`Actor.caller_key`).

    Returns:
        The image as `ml.serving.images.read` returns it, upright, and the width and height of the upload, upright.

    Raises:
        ml.serving.images.ImageError: the file is damaged.
        BusyError: too many large images are being decoded.
    """
    with nullcontext() if is_cheap_to_decode(header) else _decoding_slot(header.memory, caller):
        pixels = images.read(header)
        height, width = pixels.shape[:2]
        # `images.read` may decode a JPEG at a fraction of its size and rotates it by its orientation tag, so the size
        # in the header may have to be transposed.
        upload_size = header.size if (header.size[0] > header.size[1]) == (width > height) else header.size[::-1]
        if max(width, height) > settings.MAX_STORED_IMAGE_SIDE:
            image = Image.fromarray(pixels)
            image.thumbnail((settings.MAX_STORED_IMAGE_SIDE, settings.MAX_STORED_IMAGE_SIDE), Image.Resampling.LANCZOS)
            pixels = np.asarray(image)
    return pixels, upload_size


def encode(pixels: Pixels) -> EncodedImage:
    """Encode an image as PNG (drawings) or JPEG (photographs), without writing the file.

    Args:
        pixels: uint8 (h, w) or (h, w, channels), in the form of `ml.serving.images.read`.
    """
    if _is_drawn(pixels):
        content_type, data = "image/png", png_encoder.encode(pixels)
    else:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        content_type, data = "image/jpeg", buffer.getvalue()
        pixels = np.asarray(Image.open(buffer, formats=("JPEG",)))
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"{FOLDER}/{sha256[:2]}/{sha256}.{EXTENSIONS[content_type]}"
    return EncodedImage(pixels=pixels, data=data, name=name, sha256=sha256, content_type=content_type)


def read(submission: Submission) -> bytes:
    """Return the bytes of the stored file."""
    with default_storage.open(submission.picture) as file:
        data: bytes = file.read()
    return data


def open_stored(submission: Submission) -> Image.Image:
    """Decode the stored image, in mode L, LA, RGB or RGBA.

    It is not cropped: pass `submission.crop` to `prepare_image`.
    """
    # Other limits do not apply: they may have been lowered since the image was uploaded.
    limits = images.Limits(max_memory=16 * settings.MAX_STORED_IMAGE_SIDE**2)
    return images.decode(read(submission), limits, working_side=settings.MAX_STORED_IMAGE_SIDE)


def is_cheap_to_decode(header: images.ImageHeader) -> bool:
    """Return whether decoding takes so little time and memory that it needs no slot."""
    return header.memory <= CHEAP_MEMORY and header.pixels <= CHEAP_PIXELS and header.length <= CHEAP_FILE_BYTES


def _decoding_slot(memory: int, caller: str) -> AbstractContextManager[None]:
    """Return a context manager that waits for this many bytes of decoding memory and holds them.

    An image that needs more than the share of this process is decoded while no other one is.
    """
    weight = max(memory, _decoding.capacity // per_process(MAX_DECODING))
    return _decoding.slot(caller, weight=min(weight, _decoding.capacity), seconds=DECODE_WAIT_SECONDS)


def _is_drawn(pixels: Pixels) -> bool:
    height, width, channels = (*pixels.shape, 1)[:3]
    if channels in (2, 4) or width * height <= LOSSLESS_PIXELS:
        return True
    histogram = Image.fromarray(pixels).convert("L").histogram()
    return max(histogram) >= FLAT_SHARE * sum(histogram)
