"""Decoding of untrusted image files to upright images.

The format is detected from the content against an allow-list, not from the file name; sizes are checked from the header
before pixels are decoded; every exception of a decoder becomes an `ImageError`.
"""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from . import decoding, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
# The names for people.
FORMAT_NAMES = tuple("WebP" if name == "WEBP" else name for name in FORMATS)
# EXIF orientation to the transformation that makes the stored image upright.
_TRANSFORMATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Limits:
    """Upper limits of accepted images.

    Attributes:
        max_bytes: size of the file.
        max_pixels: number of pixels.
        max_side: pixels along one side.
        max_memory: bytes of memory that decoding takes.
    """

    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 50_000_000
    max_side: int = 20_000
    max_memory: int = 120_000_000


@dataclass(frozen=True)
class ImageHeader:
    """An image within the limits, of which only the header was read.

    Attributes:
        image: not loaded yet; `read` loads it, once.
        size: width and height as stored, before the orientation is applied.
        memory: bytes of memory that decoding takes.
        pixels: number of pixels that the decoder processes; each scan of a JPEG counts.
        length: bytes of the file.
        orientation: EXIF orientation, 1 to 8.
        limits: the limits it was checked against.
        working_side: as for `decode`.
    """

    image: Image.Image
    size: tuple[int, int]
    memory: int
    pixels: int
    length: int
    orientation: int
    limits: Limits
    working_side: int


class ImageError(ValueError):
    """An image that cannot be used. The message is for the visitor; `code` is machine-readable.

    Codes: `empty`, `not_an_image`, `truncated`, `too_many_bytes`, `too_many_pixels`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# Number of pixels that are processed at once while a large image is reduced.
BAND_PIXELS = 1_000_000
# The decoder processes a JPEG once for each scan: 25 ms for 50 million pixels.
MAX_SCANNED_PIXELS = 1_500_000_000
# Pillow keeps every block of a header, joins some of them again for each further block, and iterates over all of them
# in Python: 10 MB in blocks of a few bytes take minutes and gigabytes. A large header from a camera takes 700 reads,
# the image data one read for a few kilobytes.
MAX_HEADER_READS = 2_000
MAX_DATA_READS = 100_000
# Frames of an animation that are decoded to find one that is not empty.
MAX_FRAMES = 10
# Largest difference between the values of a colour in an empty frame: lossy WebP changes them a little.
_MAX_EMPTY_RANGE = 8


def decode(data: bytes, limits: Limits = Limits(), *, working_side: int = 1024) -> Image.Image:
    """Decode the first frame of an image that is not empty, upright, with 8 bits per channel and without metadata.

    Args:
        data: the bytes of the file.
        limits: checked before decoding.
        working_side: lower bound of the long side after reduction, in pixels. A JPEG much larger than this is decoded
            at 1/2, 1/4 or 1/8 of its size, which is several times faster; other images are reduced by an integer
            factor, which limits the memory of copies.

    Returns:
        An image in mode L, LA, RGB or RGBA: RGB only if it has colour, an alpha channel only if it has transparency.

    Raises:
        ImageError: the data is not a readable image within the limits.
    """
    return Image.fromarray(read(open_image(data, limits, working_side=working_side)))


def open_image(data: bytes, limits: Limits = Limits(), *, working_side: int = 1024) -> ImageHeader:
    """Read the header of an image and check it against the limits, without decoding pixels.

    Args:
        data: the bytes of the file.
        limits: as for `decode`.
        working_side: as for `decode`.

    Raises:
        ImageError: the header is invalid or exceeds the limits.
    """
    if not data:
        raise ImageError("empty", "The file is empty. Please choose a picture.")
    if len(data) > limits.max_bytes:
        raise ImageError(
            "too_many_bytes",
            f"The file has {len(data) / 1048576:.1f} MB; at most {limits.max_bytes / 1048576:g} MB are accepted. "
            "Please send a smaller picture.",
        )
    length = len(data)
    try:
        stripped = metadata.strip_metadata(data)
    except metadata.MetadataError as error:
        raise ImageError("not_an_image", f"{error} Please save the picture again and send that.") from error
    data = stripped.data
    image = _open(data)
    _check_size(image.size, limits)
    try:
        scans = decoding.count_scans(data) if image.format in decoding.JPEGS else 1
        memory = decoding.estimate_decoding_memory(image, scans=scans, working_side=working_side)
    except Exception as error:
        raise ImageError("truncated", "The picture's header is damaged. Please save or send it again.") from error
    pixels = scans * image.width * image.height
    if memory > limits.max_memory or pixels > MAX_SCANNED_PIXELS:
        raise ImageError(
            "too_many_pixels",
            f"The picture is {image.width} x {image.height} pixels, which is too much to read as this kind of "
            f"{image.format}. Please send it smaller, or as a plain JPEG.",
        )
    return ImageHeader(image, image.size, memory, pixels, length, stripped.orientation, limits, working_side)


def read(header: ImageHeader) -> np.ndarray:
    """Decode an opened image, as `decode` does.

    Args:
        header: as `open_image` returns it; its image is closed.

    Returns:
        uint8 (h, w) for L, (h, w, 2) for LA, (h, w, 3) for RGB, (h, w, 4) for RGBA.

    Raises:
        ImageError: the data is damaged or incomplete.
    """
    image, working_side = header.image, header.working_side
    # Decoders raise many exception types on malicious data (struct.error, KeyError, OverflowError, zlib.error,
    # MemoryError …).
    try:
        if image.format in decoding.JPEGS:
            _set_jpeg_scale(image, working_side)
        image.fp.remaining_reads = MAX_DATA_READS  # type: ignore[attr-defined]  # the file of `_open`
        image.load()
        _check_size(image.size, header.limits)
        frame = _find_frame(image)
        transformation = _TRANSFORMATIONS.get(header.orientation)
        upright = _to_eight_bits(frame, max(1, max(frame.size) // max(1, working_side)))
        if transformation is not None:
            upright = upright.transpose(transformation)
        pixels = np.asarray(upright)
        image.close()  # frees its memory before the next allocation
        return _drop_redundant_channels(pixels)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            "truncated",
            "The picture is damaged or incomplete and cannot be read to its end. Please save or send it again.",
        ) from error


class ReadLimitedFile(io.BytesIO):
    """A file that raises ImageError after a maximum number of reads."""

    remaining_reads = MAX_HEADER_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes; raise ImageError after `remaining_reads` calls."""
        self.remaining_reads -= 1
        if self.remaining_reads < 0:
            raise ImageError(
                "not_an_image", "The file is in too many small pieces to be read here. Please save the picture again."
            )
        return super().read(size)


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(ReadLimitedFile(data), formats=FORMATS)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            "too_many_pixels", "The picture has far too many pixels. Please send a smaller one."
        ) from error
    except UnidentifiedImageError as error:
        names = ", ".join(FORMAT_NAMES[:-1]) + " or " + FORMAT_NAMES[-1]
        raise ImageError(
            "not_an_image", f"The file is not a picture that can be read here. Please send {names}."
        ) from error
    except Exception as error:
        raise ImageError("truncated", "The picture's header is damaged. Please save or send it again.") from error


def _check_size(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError("truncated", "The picture has no pixels. Please save or send it again.")
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        raise ImageError(
            "too_many_pixels",
            f"The picture is {width} x {height} pixels; at most {limits.max_pixels / 1e6:g} million pixels and "
            f"{limits.max_side} along a side are accepted. Please send a smaller one.",
        )


def _find_frame(image: Image.Image) -> Image.Image:
    """Return the first frame of a small animation that is not empty; the first one if there is none, or no animation.

    Args:
        image: its first frame is loaded.
    """
    if not decoding.may_have_frames(image) or not _is_empty(image):
        return image
    first = image.copy()
    with suppress(Exception):  # at the end of the animation, or a damaged frame: decoders raise many types
        for number in range(1, MAX_FRAMES):
            image.seek(number)
            if not decoding.may_have_frames(image):  # a frame may make the image larger
                break
            image.load()
            if not _is_empty(image):
                return image
    return first


def _is_empty(image: Image.Image) -> bool:
    """Return whether a frame has one colour, or is transparent everywhere."""
    extrema: Any = image.getextrema()
    ranges = [extrema] if isinstance(extrema[0], int | float) else extrema
    if image.mode in ("LA", "RGBA") and ranges[-1][1] == 0:
        return True
    max_range = 0 if image.mode in ("P", "PA") else _MAX_EMPTY_RANGE
    return all(high - low <= max_range for low, high in ranges)


def _set_jpeg_scale(image: Image.Image, working_side: int) -> None:
    """Let the JPEG decoder reduce the image.

    `draft` uses the largest factor of 1, 2, 4 and 8 that keeps both sides at least as long as requested.
    """
    factor = max(image.size) // max(1, working_side)
    if factor >= 2:
        image.draft(None, (max(1, image.width // factor), max(1, image.height // factor)))


def _to_eight_bits(image: Image.Image, factor: int) -> Image.Image:
    """Convert any Pillow mode to L, LA, RGB or RGBA and divide the sides by a factor.

    Large images are converted in bands, which needs little additional memory. An image that needs no conversion is
    returned as it is.
    """
    grey_levels = _find_grey_range(image) if image.mode in ("I", "F") else None
    if factor == 1:
        return _convert(image, grey_levels)
    reduced: Image.Image | None = None
    for top, band in _iter_bands(image, factor):
        band.format = image.format
        small = _convert(band, grey_levels).reduce(factor)
        if reduced is None:
            reduced = Image.new(small.mode, (-(-image.width // factor), -(-image.height // factor)))
        reduced.paste(small, (0, top // factor))
    return image if reduced is None else reduced  # None only for an image without rows, which `_check_size` rejects


def _iter_bands(image: Image.Image, rows: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield bands of the image, each with its first row. The height of a band is a multiple of `rows`."""
    height = max(rows, BAND_PIXELS // image.width // rows * rows)
    for top in range(0, image.height, height):
        yield top, image.crop((0, top, image.width, min(image.height, top + height)))


def _convert(image: Image.Image, grey_levels: tuple[float, float] | None) -> Image.Image:
    mode = image.mode
    if mode in ("I;16", "I;16B", "I;16L", "I;16N"):
        # The range of 16-bit modes is 0..65535.
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if grey_levels is not None:
        return Image.fromarray(_stretch(np.asarray(image), *grey_levels))
    if mode == "CMYK" and image.format in decoding.JPEGS and "adobe" not in image.info:
        # Pillow reads every CMYK JPEG as inverted, as Adobe writes them. Without Adobe's marker the values are not
        # inverted.
        image = Image.fromarray(255 - np.asarray(image), mode="CMYK")
    is_transparent = "transparency" in image.info
    if mode in ("1", "L") and not is_transparent:
        target = "L"
    elif mode in ("LA", "La", "1", "L"):
        target = "LA"
    elif is_transparent or mode in ("PA", "RGBA", "RGBa"):
        target = "RGBA"
    else:
        target = "RGB"
    return image if mode == target else image.convert(target)


def _drop_redundant_channels(pixels: np.ndarray) -> np.ndarray:
    """Drop colour channels that are equal everywhere and an opaque alpha channel, which saves work later."""
    if pixels.ndim == 2:
        return pixels
    colours = list(cv2.split(pixels))
    alpha = colours.pop() if pixels.shape[2] in (2, 4) else None
    if len(colours) == 3 and np.array_equal(colours[0], colours[1]) and np.array_equal(colours[1], colours[2]):
        colours = colours[:1]
    if alpha is not None and alpha.min() < 255:
        colours.append(alpha)
    if len(colours) == pixels.shape[2]:
        return pixels
    return colours[0] if len(colours) == 1 else cv2.merge(colours)


def _find_grey_range(image: Image.Image) -> tuple[float, float]:
    """Return the values of black and white in a 32-bit integer or float image.

    These modes have no standard range. The result is 0 and the smallest of 1, 255 and 65535 that fits the values, or
    else their minimum and maximum.
    """
    low, high = np.inf, -np.inf
    for _, band in _iter_bands(image, 1):
        values = _replace_non_finite(np.asarray(band))
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low >= 0:
        for white in (1.0, 255.0, 65535.0):
            if high <= white and (white > 1 or high > 0):
                return 0.0, white
    return low, high


def _stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    span = (high - low) or 1.0
    return np.rint((_replace_non_finite(values) - low) / span * 255).astype(np.uint8)


def _replace_non_finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
