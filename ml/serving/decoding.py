"""What decoding a picture would take, told from its header: a file of a hundred kilobytes may ask for a gigabyte.

The figures were measured with Pillow 13 on pictures of 50 million pixels (growth of the process's peak memory during
`load`, per pixel); tests/integration/uploads holds the web server to them.
"""

from __future__ import annotations

import re

from PIL import Image

# A JPEG that holds a second picture, as many phones write it, calls itself MPO once it is open.
JPEGS = ("JPEG", "MPO")

# Bytes of one pixel as Pillow holds it.
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_OTHERS_STORED = 4
# The WebP decoder holds two canvases and a copy beside the picture.
_WEBP = 16
# A JPEG in several scans is held whole, as coefficients of two bytes, whatever size it is decoded to.
_COEFFICIENT = 2

# https://www.w3.org/Graphics/JPEG/itu-t81.pdf, table B.1
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

# TIFF 6.0: RowsPerStrip, TileWidth, TileLength
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_LENGTH = 278, 322, 323


def estimate_decoding_memory(image: Image.Image, *, scans: int, working_side: int) -> int:
    """Bytes that decoding takes at its peak, beside the file itself.

    Args:
        image: opened, not loaded.
        scans: of a JPEG, as `count_scans` says; nothing to others.
        working_side: as in `ml.serving.images.decode`: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size.
    """
    pixels = image.width * image.height
    stored = _STORED.get(image.mode, _OTHERS_STORED)
    if image.format == "WEBP":
        return pixels * _WEBP
    if image.format == "TIFF":
        return pixels * stored + _strip(image) * stored
    if image.format not in JPEGS:
        return pixels * stored
    factor = max(image.size) // max(1, working_side)
    shrink = max(step for step in (1, 2, 4, 8) if step <= max(1, factor))
    held = pixels * stored // shrink**2
    return held + (_coefficients(image) if scans > 1 else 0)


def count_scans(data: bytes) -> int:
    """How many times the decoder goes over the whole picture: 1 for most JPEGs, about 10 for progressive ones."""
    scans, place = 0, 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _END_OF_IMAGE:
            break
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            place += 1 if marker == 0xFF else 2
            continue
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == _START_OF_SCAN:
            scans += 1
            found = _NEXT_MARKER.search(data, place)
            if found is None:
                break
            place = found.start()
    return scans


def _strip(image: Image.Image) -> int:
    """Pixels that libtiff decodes at once."""
    tags = image.tag_v2
    if _TILE_WIDTH in tags:
        return int(tags[_TILE_WIDTH]) * int(tags.get(_TILE_LENGTH, image.height))
    return image.width * min(image.height, int(tags.get(_ROWS_PER_STRIP, image.height)))


def _coefficients(image: Image.Image) -> int:
    """Bytes of all coefficients; colour may be stored at half the width and height."""
    layers = image.layer or [("", 1, 1, 0)] * len(image.getbands())
    widest, highest = max(layer[1] for layer in layers), max(layer[2] for layer in layers)
    samples = sum(layer[1] * layer[2] for layer in layers) / (widest * highest)
    return int(image.width * image.height * samples * _COEFFICIENT)
