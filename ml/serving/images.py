"""From bytes that a stranger sent to a safe, upright picture.

Nothing here trusts the bytes:
the format comes from an allow-list and never from a file name, sizes are checked from the header before a
pixel is decoded, and whatever a decoder throws becomes one clear `ImageError`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from . import decoding, metadata

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
# The same as people write them: Pillow shouts.
FORMAT_NAMES = tuple("WebP" if name == "WEBP" else name for name in FORMATS)
# By EXIF orientation: how the stored picture must be turned to stand upright.
_TURNS = {
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
    """What is accepted at most: bytes of the file, pixels of the picture, pixels along one side, and bytes of memory
    that decoding it takes."""

    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 50_000_000
    max_side: int = 20_000
    max_memory: int = 120_000_000


@dataclass(frozen=True)
class ImageHeader:
    """A picture of which only the header was read, and found to be within the limits.

    Attributes:
        image: not loaded yet; `read` does that, once.
        size: width and height as stored, before any turn.
        memory: bytes that decoding takes.
        pixels: so many the decoder goes over, those of a JPEG in many scans as often as it has scans.
        length: bytes of the file.
        orientation: 1 to 8, as EXIF counts them.
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
    """A picture that cannot be used. The message is meant for the visitor; `code` is for programs.

    Codes: `empty`, `not_an_image`, `truncated`, `too_many_bytes`, `too_many_pixels`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# Pixels that are worked on at once when a large picture is shrunk.
BAND_PIXELS = 1_000_000
# A JPEG in many scans is gone over many times: 25 ms for 50 million pixels, each time.
MAX_SCANNED_PIXELS = 1_500_000_000
# Pillow keeps every piece of a header, copies some of them together again with each one more, and goes over all of them
# in Python: ten megabytes in pieces of some bytes take minutes and gigabytes. A large header of a camera needs 700
# readings, a picture's data one for some kilobytes.
MAX_HEADER_READS = 2_000
MAX_DATA_READS = 100_000


def decode(data: bytes, limits: Limits = Limits(), *, working_side: int = 1024) -> Image.Image:
    """Decode the first frame of a picture, upright, 8 bits per channel, without any metadata.

    Args:
        data: the file as it was sent.
        limits: refused above these, before decoding.
        working_side: a JPEG much larger than this is decoded at 1/2, 1/4 or 1/8 of its size (the format
            allows it and it is several times faster); its long side stays at least this many pixels. Any other
            picture is divided by a whole number to no less either, lest copies of it fill the memory.

    Returns:
        A picture in mode L, LA, RGB or RGBA: colour only where there is some, an alpha channel only where something
        is transparent.

    Raises:
        ImageError: for anything that is not a readable picture within the limits.
    """
    return Image.fromarray(read(open_image(data, limits, working_side=working_side)))


def open_image(data: bytes, limits: Limits = Limits(), *, working_side: int = 1024) -> ImageHeader:
    """Read the header of a picture and hold it to the limits; no pixel is decoded. Arguments as for `decode`.

    Raises:
        ImageError: as `decode` does for what the header tells.
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
        bare = metadata.strip_metadata(data)
    except metadata.MetadataError as error:
        raise ImageError("not_an_image", f"{error} Please save the picture again and send that.") from error
    data = bare.data
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
    return ImageHeader(image, image.size, memory, pixels, length, bare.orientation, limits, working_side)


def read(opened: ImageHeader) -> np.ndarray:
    """What `decode` gives, as an array: uint8 (h, w) for L, (h, w, 2) for LA, 3 for RGB, 4 for RGBA.

    Raises:
        ImageError: as `decode` does for what the header does not tell.
    """
    image, working_side = opened.image, opened.working_side
    # A reader may throw nearly anything on bytes made to hurt it (struct.error, KeyError, OverflowError,
    # zlib.error, MemoryError …).
    try:
        if image.format in decoding.JPEGS:
            _reduce(image, working_side)
        image.fp.readings = MAX_DATA_READS
        image.load()
        _check_size(image.size, opened.limits)
        turn = _TURNS.get(opened.orientation)
        upright = _to_eight_bits(image, max(1, max(image.size) // max(1, working_side)))
        if turn is not None:
            upright = upright.transpose(turn)
        pixels = np.asarray(upright)
        image.close()  # which gives its memory back before anything else takes some
        return _without_needless_channels(pixels)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            "truncated",
            "The picture is damaged or incomplete and cannot be read to its end. Please save or send it again.",
        ) from error


class ReadLimitedFile(io.BytesIO):
    """A file that is read in a number of pieces and then no more; ImageError says so."""

    readings = MAX_HEADER_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.readings -= 1
        if self.readings < 0:
            raise ImageError(
                "not_an_image", "The file is in too many small pieces to be read here. Please save the picture anew."
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


def _reduce(image: Image.Image, working_side: int) -> None:
    """Tell the JPEG decoder to skip detail: `draft` takes the largest of 1, 2, 4, 8 that leaves both sides at
    least as asked."""
    factor = max(image.size) // max(1, working_side)
    if factor >= 2:
        image.draft(None, (max(1, image.width // factor), max(1, image.height // factor)))


def _to_eight_bits(image: Image.Image, factor: int) -> Image.Image:
    """Any Pillow mode to L, LA, RGB or RGBA, its sides divided by `factor`; the image itself where it is so already.

    Large pictures in bands, so that what is needed beside the picture is little.
    """
    grey_levels = _range(image) if image.mode in ("I", "F") else None
    if factor == 1:
        return _converted(image, grey_levels)
    shrunk = None
    for top, band in _bands(image, factor):
        band.format = image.format
        small = _converted(band, grey_levels).reduce(factor)
        if shrunk is None:
            shrunk = Image.new(small.mode, (-(-image.width // factor), -(-image.height // factor)))
        shrunk.paste(small, (0, top // factor))
    return shrunk


def _bands(image: Image.Image, rows: int) -> Iterator[tuple[int, Image.Image]]:
    """The picture in bands of a multiple of `rows`, each with the row at which it begins."""
    height = max(rows, BAND_PIXELS // image.width // rows * rows)
    for top in range(0, image.height, height):
        yield top, image.crop((0, top, image.width, min(image.height, top + height)))


def _converted(image: Image.Image, grey_levels: tuple[float, float] | None) -> Image.Image:
    mode = image.mode
    if mode in ("I;16", "I;16B", "I;16L", "I;16N"):
        # 16 bits mean 0..65535.
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if grey_levels is not None:
        return Image.fromarray(_stretched(np.asarray(image), *grey_levels))
    if mode == "CMYK" and image.format in decoding.JPEGS and "adobe" not in image.info:
        # Pillow takes every CMYK JPEG as Adobe writes them, inverted; without Adobe's marker the values are
        # plain.
        image = Image.fromarray(255 - np.asarray(image), mode="CMYK")
    transparent = "transparency" in image.info
    if mode in ("1", "L") and not transparent:
        target = "L"
    elif mode in ("LA", "La", "1", "L"):
        target = "LA"
    elif transparent or mode in ("PA", "RGBA", "RGBa"):
        target = "RGBA"
    else:
        target = "RGB"
    return image if mode == target else image.convert(target)


def _without_needless_channels(pixels: np.ndarray) -> np.ndarray:
    """Grey where red, green and blue are equal everywhere, no alpha where nothing is transparent: everything after this
    has less to do."""
    if pixels.ndim == 2:
        return pixels
    *colours, alpha = cv2.split(pixels) if pixels.shape[2] in (2, 4) else (*cv2.split(pixels), None)
    if len(colours) == 3 and np.array_equal(colours[0], colours[1]) and np.array_equal(colours[1], colours[2]):
        colours = colours[:1]
    if alpha is not None and alpha.min() < 255:
        colours.append(alpha)
    if len(colours) == pixels.shape[2]:
        return pixels
    return colours[0] if len(colours) == 1 else cv2.merge(colours)


def _range(image: Image.Image) -> tuple[float, float]:
    """Which values of integers of 32 bits, or floats, mean black and white.

    No range is agreed on, so values that do not fit 0..255 (floats: 0..1 or 0..255) are stretched from their smallest
    to their largest.
    """
    low, high = np.inf, -np.inf
    for _, band in _bands(image, 1):
        values = _finite(np.asarray(band))
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low >= 0:
        for usual in (1.0, 255.0, 65535.0):
            if high <= usual and (usual > 1 or high > 0):
                return 0.0, usual
    return low, high


def _stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    span = (high - low) or 1.0
    return np.rint((_finite(values) - low) / span * 255).astype(np.uint8)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
