"""PNG encoder for drawings: lossless and without filters. See docs/adr/0010-png-encoder.md.

https://www.w3.org/TR/png-3/
"""

import io
import struct

import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Colour types by number of channels, section 11.2.1.
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
LEVEL = 1
# An image that does not compress by this factor is a photograph. Up to SMALL_BYTES, as 28x28 pixels have, the encoder
# does not matter.
MIN_GAIN = 4
SMALL_BYTES = 4096


def encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode an image as a PNG file.

    Args:
        pixels: uint8 (h, w), or (h, w, channels) with 2, 3 or 4 channels: grey and alpha, RGB, RGBA.
    """
    height, width, channels = (*pixels.shape, 1)[:3]
    # Each row begins with its filter type; 0 is none.
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    packed = isal_zlib.compress(rows, LEVEL)
    if rows.size > SMALL_BYTES and len(packed) * MIN_GAIN > rows.size:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=LEVEL)
        return buffer.getvalue()
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", isal_zlib.crc32(body, isal_zlib.crc32(name)))
