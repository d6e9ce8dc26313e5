"""Kept pictures: what of a stranger's file is stored, and under which name.

How files go again: services.images.orphaned_files.

Nothing that was sent is stored as it came: every picture is decoded and encoded again, which leaves metadata and
whatever else was hidden in the file behind. A file's name is the sha256 of its bytes, so equal pictures share one
file, and it is written before the row that names it.
"""

import hashlib
import io
import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from PIL import Image

from ml.serving import images
from recognizer.models import Submission
from recognizer.services.lib.fair_slots import FairSlots
from recognizer.services.lib.storage_errors import storage_error_of

from . import png_encoder
from .orphaned_files import FOLDER

log = logging.getLogger(__name__)

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg"}
CONTENT_TYPES = {extension: content_type for content_type, extension in EXTENSIONS.items()}

# Up to this many pixels a picture is kept without loss whatever it shows: a 320 x 320 PNG is small and quick.
LOSSLESS_PIXELS = 320 * 320
# A larger picture is taken for a drawing (and kept without loss) when this share of it is one single grey: paper
# that was drawn on screen is flat, paper under a camera is not.
FLAT_SHARE = 0.3
JPEG_QUALITY = 90

# A picture that takes no more than this to decode is a little one: some milliseconds, whatever somebody made of it.
CHEAP_MEMORY, CHEAP_PIXELS, CHEAP_FILE_BYTES = 1_000_000, 500_000, 200_000
DECODE_WAIT_SECONDS = 20
# Larger ones that are decoded at once at most, where memory allows. They and those that wait for their turn each hold a
# thread of the web server, so only a few may: the pages need the others.
MAX_DECODING, MAX_WAITING = 8, 10
BUSY = "Many large pictures are being read right now. Please try again in a moment."

# In bytes of memory.
_decoding = FairSlots(settings.DECODE_MEGABYTES * 1_000_000, max_waiting=MAX_WAITING, busy=BUSY)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the picture storage.

    Attributes:
        name: where the storage has it; follows from the bytes.
        data: the file's bytes.
    """

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class EncodedImage(StoredFile):
    """A picture as it is kept.

    Attributes:
        pixels: as anybody who opens the kept file again will see them, in the form of `ml.serving.images.read`; what
            preprocessing works on.
        sha256: of `data`.
    """

    pixels: np.ndarray
    sha256: str
    content_type: str

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """Upright image of at most MAX_STORED_IMAGE_SIDE, as `ml.serving.images.read` returns it, and the uploaded size."""

    pixels: np.ndarray
    sent_size: tuple[int, int]


def open_upload(data: bytes) -> images.ImageHeader:
    """Read the header of what a stranger sent.

    Raises:
        ml.serving.images.ImageError: it is no picture that we read.
    """
    limits = images.Limits(
        max_bytes=settings.MAX_UPLOAD_BYTES,
        max_pixels=settings.MAX_UPLOAD_PIXELS,
        max_memory=settings.DECODE_MEGABYTES * 1_000_000,
    )
    return images.open_image(data, limits, working_side=settings.MAX_STORED_IMAGE_SIDE)


def is_cheap_to_decode(opened: images.ImageHeader) -> bool:
    """Whether decoding it takes so little that nobody minds to wait for it, as a drawing does."""
    return opened.memory <= CHEAP_MEMORY and opened.pixels <= CHEAP_PIXELS and opened.length <= CHEAP_FILE_BYTES


def decode(opened: images.ImageHeader, *, caller: str) -> DecodedImage:
    """Decode what a stranger sent and bring it to the size in which it is kept.

    Args:
        caller: whose share of the memory and time for decoding this takes (`Actor.share_key`).

    Raises:
        ml.serving.images.ImageError: it is damaged.
        BusyError: too many large pictures at once.
    """
    with nullcontext() if is_cheap_to_decode(opened) else _decoding_slot(opened.memory, caller):
        pixels = images.read(opened)
        height, width = pixels.shape[:2]
        # A JPEG may have been decoded at a fraction of its size, and turned by its orientation tag.
        sent_size = opened.size if (opened.size[0] > opened.size[1]) == (width > height) else opened.size[::-1]
        if max(width, height) > settings.MAX_STORED_IMAGE_SIDE:
            image = Image.fromarray(pixels)
            image.thumbnail((settings.MAX_STORED_IMAGE_SIDE, settings.MAX_STORED_IMAGE_SIDE), Image.Resampling.LANCZOS)
            pixels = np.asarray(image)
    return DecodedImage(pixels, sent_size)


def encode(pixels: np.ndarray) -> EncodedImage:
    """Make the file of a decoded picture: PNG for what was drawn, JPEG for photographs. Nothing is written yet.

    Args:
        pixels: in the form of `ml.serving.images.read`.
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


def write(file: StoredFile) -> None:
    """Store the file, in the place of its equal if that is there already: a power cut may have cut it short.

    Called before the row is committed, so that no row ever names a missing file.

    Raises:
        StorageError: the storage is full, or cannot be written.
    """
    try:
        default_storage.save(file.name, ContentFile(file.data))
    except OSError as error:
        refusal = storage_error_of(error)
        if refusal is None:
            raise
        raise refusal from error


def read(submission: Submission) -> bytes:
    """The bytes of the kept file."""
    with default_storage.open(submission.picture) as file:
        return file.read()


def open_stored(submission: Submission) -> Image.Image:
    """The kept picture in mode L, LA, RGB or RGBA, whole: `prepare_image` gets `submission.crop` beside it."""
    # What was kept was small enough when it came; whatever the limits are now.
    limits = images.Limits(max_memory=16 * settings.MAX_STORED_IMAGE_SIDE**2)
    return images.decode(read(submission), limits, working_side=settings.MAX_STORED_IMAGE_SIDE)


def _decoding_slot(memory: int, caller: str) -> AbstractContextManager[None]:
    """Wait until there is memory for a picture that takes so many bytes, and hold it."""
    weight = max(memory, _decoding.capacity // MAX_DECODING)
    return _decoding.slot(caller, weight=weight, seconds=DECODE_WAIT_SECONDS)


def _is_drawn(pixels: np.ndarray) -> bool:
    height, width, channels = (*pixels.shape, 1)[:3]
    if channels in (2, 4) or width * height <= LOSSLESS_PIXELS:
        return True
    histogram = Image.fromarray(pixels).convert("L").histogram()
    return max(histogram) >= FLAT_SHARE * sum(histogram)
