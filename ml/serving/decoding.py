"""Memory that decoding an image takes, estimated from its header: a file of 100 kB may need a gigabyte.

The constants were measured with Pillow 13 on images of 50 million pixels (growth of the process's peak memory during
`load`, per pixel). tests/integration/uploads checks the web server against them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

# Pillow reports a JPEG that contains a second image, as many phones write it, as MPO.
JPEGS = ("JPEG", "MPO")

# Bytes per pixel of Pillow's modes, and of all other modes.
_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_DEFAULT_BYTES_PER_PIXEL = 4
# The WebP decoder holds two canvases and a copy in addition to the image.
_WEBP_BYTES_PER_PIXEL = 16
# Further frames of an animation are decoded only if the first is empty, and only up to this number of pixels.
# A frame, the one before it, the area that it replaces and the first frame are held at the same time.
MAX_FRAME_PIXELS = 1_000_000
_ANIMATION_BYTES_PER_PIXEL = 26
# A JPEG with several scans is held as coefficients of two bytes at full size, even if it is decoded to a smaller one.
_BYTES_PER_COEFFICIENT = 2

# https://www.w3.org/Graphics/JPEG/itu-t81.pdf, table B.1
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

# TIFF 6.0: RowsPerStrip, TileWidth, TileLength
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_LENGTH = 278, 322, 323


def estimate_decoding_memory(image: Image.Image, *, scans: int, working_side: int) -> int:
    """Estimate the peak memory of decoding, without the file itself.

    Args:
        image: opened, not loaded.
        scans: number of scans of a JPEG, as `count_scans` returns it; ignored for other formats.
        working_side: as in `ml.serving.images.decode`: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size.

    Returns:
        Bytes.
    """
    pixels = image.width * image.height
    bytes_per_pixel = _BYTES_PER_PIXEL.get(image.mode, _DEFAULT_BYTES_PER_PIXEL)
    if may_have_frames(image):
        return pixels * _ANIMATION_BYTES_PER_PIXEL
    if image.format == "WEBP":
        return pixels * _WEBP_BYTES_PER_PIXEL
    if image.format == "TIFF":
        return pixels * bytes_per_pixel + _count_strip_pixels(image) * bytes_per_pixel
    if image.format not in JPEGS:
        return pixels * bytes_per_pixel
    factor = max(image.size) // max(1, working_side)
    shrink = max(step for step in (1, 2, 4, 8) if step <= max(1, factor))
    decoded = pixels * bytes_per_pixel // shrink**2
    return decoded + (_estimate_coefficient_memory(image) if scans > 1 else 0)


def may_have_frames(image: Image.Image) -> bool:
    """Return whether an image may have further frames that are small enough: the header of a GIF does not say."""
    is_animated = image.format == "GIF" or (image.format in ("PNG", "WEBP") and getattr(image, "is_animated", False))
    return is_animated and image.width * image.height <= MAX_FRAME_PIXELS


def count_scans(data: bytes) -> int:
    """Count the scans of a JPEG: 1 for most files, about 10 for progressive ones."""
    scans, position = 0, 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _END_OF_IMAGE:
            break
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            position += 1 if marker == 0xFF else 2
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _START_OF_SCAN:
            scans += 1
            next_marker = _NEXT_MARKER.search(data, position)
            if next_marker is None:
                break
            position = next_marker.start()
    return scans


def _count_strip_pixels(image: Image.Image) -> int:
    """Return the number of pixels of one strip or tile, which libtiff decodes at once."""
    tags = image.tag_v2  # type: ignore[attr-defined]  # of TiffImageFile, which is not a public type
    if _TILE_WIDTH in tags:
        return int(tags[_TILE_WIDTH]) * int(tags.get(_TILE_LENGTH, image.height))
    return image.width * min(image.height, int(tags.get(_ROWS_PER_STRIP, image.height)))


def _estimate_coefficient_memory(image: Image.Image) -> int:
    """Return the bytes of all coefficients; chroma may be stored at half the width and height."""
    components = image.layer or [("", 1, 1, 0)] * len(image.getbands())  # type: ignore[attr-defined]  # JPEG only
    max_horizontal, max_vertical = max(item[1] for item in components), max(item[2] for item in components)
    samples = sum(item[1] * item[2] for item in components) / (max_horizontal * max_vertical)
    return int(image.width * image.height * samples * _BYTES_PER_COEFFICIENT)
