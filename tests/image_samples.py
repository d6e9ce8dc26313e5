"""Images and drawings for tests, generated on demand."""

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw

SEVEN = [[[60, 200, 120], [60, 60, 230]]]


def png(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "PNG", **options)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def digit(side: int = 28, mode: str = "L", *, seed: int = 0) -> Image.Image:
    """Return an image of a 1, white on black, whose position depends on the seed."""
    pixels = np.zeros((side, side), np.uint8)
    left = side // 3 + seed % (side // 3)
    pixels[side // 5 : side - side // 5, left : left + max(2, side // 10)] = 255
    return Image.fromarray(pixels).convert(mode)


def boxed_seven() -> Image.Image:
    """Return a 7 in a box of a form, black on white."""
    image = Image.new("L", (280, 280), 255)
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 40, 240, 240), outline=0, width=5)
    draw.line([(100, 90), (180, 90), (130, 200)], fill=0, width=14, joint="curve")
    return image


def photo(width: int = 1600, height: int = 1200, *, seed: int = 0) -> Image.Image:
    """Return a photo of a dark 1 on paper, with noise and a shadow."""
    noise = np.random.default_rng(seed)
    shadow = np.linspace(225, 170, width)[None, :, None]
    pixels = shadow + noise.normal(0, 4, (height, width, 3))
    pixels[height // 4 : height * 3 // 4, width // 2 - width // 40 : width // 2 + width // 40] = (40, 40, 90)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@functools.cache
def huge_png(width: int = 30_000, height: int = 30_000) -> bytes:
    """Return a valid PNG of 900 million black pixels in about 110 KB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    body = b"".join(packer.compress(row * 1000) for _ in range(height // 1000)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def animation() -> bytes:
    """Return a GIF of two frames, a digit and an empty one."""
    return encoded(digit(64), "GIF", save_all=True, append_images=[Image.new("L", (64, 64))], duration=50)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="28" height="28"><script>alert(1)</script></svg>'


def seven_pixels() -> np.ndarray:
    """Return 28x28 pixels of a 7, as the model sees it."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[5:8, 7:21] = 255
    for row in range(8, 24):
        left = 18 - (row - 8) // 2
        pixels[row, left : left + 3] = 255
    return pixels
