"""Hostile, malformed and unusual files, generated on demand.

`FILES` maps a description to the file and its expected outcome: accepted (`GOOD`), rejected (`BAD`), or either,
depending on the version of the image library (`EITHER`). No file may harm the site.
"""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

GOOD, BAD, EITHER = "good", "bad", "either"
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class MalformedFile:
    """A file with its expected outcome.

    Attributes:
        fate: `GOOD`, `BAD` or `EITHER`.
        make: Returns the content.
        name: File name that the client sends.
        kind: Content type that the client sends.
    """

    fate: str
    make: Callable[[], bytes]
    name: str = "picture.png"
    kind: str = "image/png"


def digit_one(width: int = 60, height: int = 60, mode: str = "L") -> Image.Image:
    """Return an image of a 1, light on dark, as thick as a pen stroke."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[height // 5 : height - height // 5, width // 2 : width // 2 + max(1, width // 10)] = 255
    return Image.fromarray(pixels).convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *, depth: int = 1, channels: int = 1, rows: int | None = None) -> bytes:
    """Return a PNG of a large 1, light on dark, written without a library, which takes seconds for large images.

    Args:
        width: Width in the header.
        height: Height in the header.
        depth: Bits per channel.
        channels: Number of channels.
        rows: Number of rows in the data, if it differs from `height`.
    """
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    empty = bytearray(1 + (width * depth * channels + 7) // 8)
    inked = empty[:]
    inked[len(inked) // 2 : len(inked) * 11 // 20] = b"\xff" * (len(inked) * 11 // 20 - len(inked) // 2)
    rows = height if rows is None else rows
    packer = zlib.compressobj(1)
    body = [packer.compress(inked if rows // 5 <= row < rows - rows // 5 else empty) for row in range(rows)]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", b"".join([*body, packer.flush()])) + chunk(b"IEND", b"")


def with_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a valid PNG with an additional chunk after its header."""
    data = saved(digit_one(), "PNG")
    return data[:33] + chunk(kind, body) + data[33:]


def large(mode: str, side: int) -> Image.Image:
    grey = digit_one(side, side)
    return Image.merge("RGB", [grey] * 3) if mode == "RGB" else grey


def exif(turn: int = 1, **more: object) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = turn
    for number, value in more.items():
        tags[int(number[1:], 16)] = value
    return tags.tobytes()


def jpeg_of_many_scans(side: int, scans: int) -> bytes:
    """Return a progressive JPEG with a repeated last scan; the decoder processes the whole image for each."""
    data = saved(large("L", side), "JPEG", progressive=True, quality=50)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + b"\xff\xd9"


def tiff_in_one_strip() -> bytes:
    size = TiffImagePlugin.STRIP_SIZE
    TiffImagePlugin.STRIP_SIZE = 10**10
    try:
        return saved(large("RGB", 4_000), "TIFF", compression="tiff_deflate", tiffinfo={278: 4_000})
    finally:
        TiffImagePlugin.STRIP_SIZE = size


def webp_of(width: int, height: int) -> bytes:
    """Return a small WebP with larger dimensions in its header: https://developers.google.com/speed/webp/docs/webp_lossless_bitstream_spec"""
    data = bytearray(saved(digit_one(mode="RGB"), "WEBP", lossless=True))
    place = data.index(b"VP8L") + 9
    data[place : place + 4] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(data)


def tiff_of_itself() -> bytes:
    """Return a TIFF whose directory refers to itself as the next one."""
    data = bytearray(saved(digit_one(), "TIFF"))
    start = struct.unpack("<I", data[4:8])[0]
    entries = struct.unpack("<H", data[start : start + 2])[0]
    data[start + 2 + 12 * entries : start + 6 + 12 * entries] = struct.pack("<I", start)
    return bytes(data)


def png_of_texts() -> bytes:
    """Return a PNG with 64 texts that decompress to 1 MB each."""
    data = saved(digit_one(), "PNG")
    text = b"key\0\1\0\0\0" + zlib.compress(b"x" * (MEGABYTE - 10), 9)
    return data[:33] + chunk(b"iTXt", text) * 64 + data[33:]


def tiff_with(tag: int, kind: int, size: int, values: int) -> bytes:
    """Return a TIFF with a tag that has many values of `size` bytes after the pixel data."""
    data = bytearray(saved(digit_one(), "TIFF"))
    [start] = struct.unpack_from("<L", data, 4)
    [count] = struct.unpack_from("<H", data, start)
    entries = [data[start + 2 + 12 * n : start + 14 + 12 * n] for n in range(count)]
    entries = [entry for entry in entries if struct.unpack_from("<H", entry)[0] != tag]
    directory_size = 2 + 12 * (len(entries) + 1) + 4
    new = struct.pack("<HHLL", tag, kind, values, len(data) + directory_size)
    entries = sorted([*entries, new], key=lambda entry: struct.unpack_from("<H", entry)[0])
    data[4:8] = struct.pack("<L", len(data))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return bytes(data) + directory + b"\1" * (size * values)


def tiff_with_huge_tag() -> bytes:
    """Return a TIFF with a tag that claims four billion values."""
    data = bytearray(saved(digit_one(), "TIFF"))
    start = struct.unpack("<I", data[4:8])[0]
    data[start + 2 + 12 + 4 : start + 2 + 12 + 8] = b"\xff\xff\xff\xff"
    return bytes(data)


def bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head + bytes(300)


def gif(width: int, height: int) -> bytes:
    """Return a GIF with one small frame on a screen of this size."""
    data = bytearray(saved(digit_one(), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def jpeg_in_pieces(segment: bytes) -> bytes:
    """Return a JPEG with a header of ten megabytes."""
    picture = saved(digit_one(), "JPEG")
    return picture[:2] + segment * (10_400_000 // len(segment)) + picture[2:]


def archive(name: str = "digit.png") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr(name, bytes(1_000_000))
    return buffer.getvalue()


def animation(kind: str, frames: int) -> bytes:
    pages = [Image.new("L", (60, 60), 255 * (number % 2)) for number in range(frames)]
    return saved(digit_one(), kind, save_all=True, append_images=pages)


def text_png(size: int) -> bytes:
    """Return a PNG with compressed text of `size` bytes."""
    return with_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size), 9))


def png_text() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", SECRET.decode())
    return saved(digit_one(), "PNG", pnginfo=info)


# Content that must never be served.
SECRET = b"<script>alert('from the file')</script>"

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="28" height="28">' + SECRET + b"</svg>"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(200)
PDF = b"%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n%%EOF"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 60\n(/etc/passwd) (r) file\nshowpage\n"
HTML = b"<!doctype html><title>1</title>" + SECRET
ELF = b"\x7fELF\x02\x01\x01" + bytes(200)

FILES: dict[str, MalformedFile] = {
    # --- No images, with any name and type ---
    "nothing": MalformedFile(BAD, lambda: b""),
    "one byte": MalformedFile(BAD, lambda: b"\x89"),
    "zeros": MalformedFile(BAD, lambda: bytes(5_000)),
    "noise": MalformedFile(BAD, lambda: np.random.default_rng(0).bytes(50_000)),
    "plain text": MalformedFile(BAD, lambda: b"I am a 7."),
    "SVG with a script": MalformedFile(BAD, lambda: SVG, "seven.svg", "image/svg+xml"),
    "SVG that says it is a PNG": MalformedFile(BAD, lambda: SVG),
    "SVG in gzip": MalformedFile(BAD, lambda: gzip.compress(SVG), "seven.svgz", "image/svg+xml"),
    "HTML": MalformedFile(BAD, lambda: HTML, "seven.html", "text/html"),
    "PDF": MalformedFile(BAD, lambda: PDF, "seven.pdf", "application/pdf"),
    "PostScript": MalformedFile(BAD, lambda: EPS, "seven.eps", "application/postscript"),
    "program": MalformedFile(BAD, lambda: ELF, "seven.exe", "application/octet-stream"),
    "zip bomb": MalformedFile(BAD, archive, "seven.zip", "application/zip"),
    "pickle": MalformedFile(BAD, lambda: b"\x80\x04cos\nsystem\n(S'id'\ntR.", "seven.pkl"),
    "NumPy": MalformedFile(BAD, lambda: b"\x93NUMPY\x01\0" + bytes(200), "seven.npy"),
    # --- Unsupported image formats ---
    "HEIC": MalformedFile(BAD, lambda: HEIC, "IMG_0001.HEIC", "image/heic"),
    "AVIF": MalformedFile(BAD, lambda: AVIF, "seven.avif", "image/avif"),
    "ICO": MalformedFile(BAD, lambda: saved(digit_one(), "ICO"), "favicon.ico", "image/x-icon"),
    "PPM": MalformedFile(BAD, lambda: saved(digit_one(mode="RGB"), "PPM"), "seven.ppm"),
    "TGA": MalformedFile(BAD, lambda: saved(digit_one(), "TGA"), "seven.tga"),
    "PCX": MalformedFile(BAD, lambda: saved(digit_one(), "PCX"), "seven.pcx"),
    "JPEG 2000": MalformedFile(BAD, lambda: saved(digit_one(64, 64), "JPEG2000"), "seven.jp2"),
    "ICNS header": MalformedFile(BAD, lambda: b"icns" + struct.pack(">I", 2**31), "seven.icns"),
    "FLI header": MalformedFile(BAD, lambda: struct.pack("<IH", 2**31, 0xAF11) + bytes(200), "seven.fli"),
    # --- Decompression bombs ---
    "PNG of 900 million pixels": MalformedFile(BAD, lambda: png(30_000, 30_000, rows=100)),
    "PNG of 49 million grey pixels": MalformedFile(GOOD, lambda: png(7_000, 7_000, depth=8)),
    "PNG of 49 million 16-bit pixels": MalformedFile(GOOD, lambda: png(7_000, 7_000, depth=16)),
    "PNG of 49 million colours": MalformedFile(BAD, lambda: png(7_000, 7_000, depth=8, channels=3, rows=10)),
    "PNG of 29 million colours": MalformedFile(GOOD, lambda: png(5_400, 5_400, depth=8, channels=3)),
    "PNG of 29 million transparencies": MalformedFile(GOOD, lambda: png(5_400, 5_400, depth=8, channels=4)),
    "PNG of 13 million transparencies": MalformedFile(GOOD, lambda: png(3_600, 3_600, depth=8, channels=4)),
    "PNG that promises more than it holds": MalformedFile(EITHER, lambda: png(7_000, 7_000, rows=3)),
    "PNG of 100,000 x 1": MalformedFile(BAD, lambda: png(100_000, 1)),
    "PNG of 1 x 100,000": MalformedFile(BAD, lambda: png(1, 100_000)),
    "PNG of 2 ** 31 - 1 squared": MalformedFile(BAD, lambda: png(2**31 - 1, 2**31 - 1, rows=0)),
    "PNG of 0 x 0": MalformedFile(BAD, lambda: png(0, 0)),
    "PNG with 64 MB of packed text": MalformedFile(EITHER, lambda: text_png(64_000_000)),
    "PNG with a packed profile of 100 MB": MalformedFile(
        EITHER, lambda: with_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(100_000_000), 9))
    ),
    "PNG with 20,000 chunks": MalformedFile(
        EITHER,
        lambda: saved(digit_one(), "PNG")[:33] + chunk(b"teXt", b"a\0b") * 20_000 + saved(digit_one(), "PNG")[33:],
    ),
    "JPEG of 49 million pixels": MalformedFile(
        GOOD, lambda: saved(large("L", 7_000), "JPEG"), "photo.jpg", "image/jpeg"
    ),
    "progressive JPEG of 25 million": MalformedFile(
        BAD, lambda: saved(large("RGB", 5_000), "JPEG", progressive=True, subsampling=0), "photo.jpg", "image/jpeg"
    ),
    "JPEG of 2,000 scans": MalformedFile(BAD, lambda: jpeg_of_many_scans(2_000, 2_000), "photo.jpg", "image/jpeg"),
    "JPEG of 2.6 million segments": MalformedFile(
        BAD, lambda: jpeg_in_pieces(b"\xff\xe5\0\2"), "photo.jpg", "image/jpeg"
    ),
    "JPEG with EXIF in 600,000 pieces": MalformedFile(
        BAD, lambda: jpeg_in_pieces(b"\xff\xe1\0\x0eExif\0\0" + b"a" * 6), "photo.jpg", "image/jpeg"
    ),
    "PNG of 860,000 empty pieces": MalformedFile(
        BAD, lambda: saved(digit_one(), "PNG")[:33] + chunk(b"IDAT", b"") * 860_000 + saved(digit_one(), "PNG")[33:]
    ),
    "JPEG of 65,500 x 1": MalformedFile(
        BAD, lambda: saved(Image.new("L", (65_500, 1)), "JPEG"), "photo.jpg", "image/jpeg"
    ),
    "GIF on a screen of 65,535 squared": MalformedFile(BAD, lambda: gif(65_535, 65_535), "seven.gif", "image/gif"),
    "GIF of 2 million comments": MalformedFile(
        BAD, lambda: saved(digit_one(), "GIF")[:25] + b"\x21\xfe\1a\0" * 2_000_000, "seven.gif", "image/gif"
    ),
    "GIF of 500 frames": MalformedFile(GOOD, lambda: animation("GIF", 500), "seven.gif", "image/gif"),
    "BMP of 2 billion rows": MalformedFile(BAD, lambda: bmp(30, 2**31 - 1), "seven.bmp", "image/bmp"),
    "BMP that is upside down": MalformedFile(BAD, lambda: bmp(30, -(2**31)), "seven.bmp", "image/bmp"),
    "WebP of 268 million pixels": MalformedFile(BAD, lambda: webp_of(16_383, 16_383), "seven.webp", "image/webp"),
    "WebP of 49 million pixels": MalformedFile(BAD, lambda: webp_of(7_000, 7_000), "seven.webp", "image/webp"),
    "WebP of 7 million pixels": MalformedFile(
        GOOD, lambda: saved(large("RGB", 2_600), "WEBP", method=0), "seven.webp", "image/webp"
    ),
    "TIFF of 16 million in one strip": MalformedFile(BAD, tiff_in_one_strip, "seven.tif", "image/tiff"),
    "TIFF whose pages go round": MalformedFile(GOOD, tiff_of_itself, "seven.tif", "image/tiff"),
    "TIFF with a tag of 16 GB": MalformedFile(BAD, tiff_with_huge_tag, "seven.tif", "image/tiff"),
    "too many bytes": MalformedFile(BAD, lambda: saved(digit_one(), "PNG") + bytes(11_000_000)),
    # --- Unusual images ---
    "one pixel": MalformedFile(BAD, lambda: saved(Image.new("L", (1, 1), 255), "PNG")),
    "2 x 300": MalformedFile(EITHER, lambda: saved(digit_one(2, 300), "PNG")),
    "19,000 x 40": MalformedFile(EITHER, lambda: saved(digit_one(19_000, 40), "PNG")),
    "all black": MalformedFile(BAD, lambda: saved(Image.new("L", (60, 60)), "PNG")),
    "all transparent": MalformedFile(BAD, lambda: saved(Image.new("RGBA", (60, 60)), "PNG")),
    "1 bit": MalformedFile(GOOD, lambda: saved(digit_one(mode="1"), "PNG")),
    "16 bit": MalformedFile(
        GOOD, lambda: saved(Image.fromarray(np.asarray(digit_one()).astype(np.uint16) * 257), "PNG")
    ),
    "palette with alpha": MalformedFile(
        GOOD, lambda: saved(digit_one(mode="P"), "PNG", transparency=bytes([0, *[255] * 255]))
    ),
    "interlaced GIF": MalformedFile(
        GOOD, lambda: saved(digit_one(mode="P"), "GIF", interlace=1), "seven.gif", "image/gif"
    ),
    "animated PNG": MalformedFile(GOOD, lambda: animation("PNG", 3)),
    "animated WebP": MalformedFile(GOOD, lambda: animation("WEBP", 3), "seven.webp", "image/webp"),
    "TIFF of three pages": MalformedFile(GOOD, lambda: animation("TIFF", 3), "seven.tif", "image/tiff"),
    "TIFF of floats": MalformedFile(
        GOOD,
        lambda: saved(Image.fromarray(np.asarray(digit_one()).astype(np.float32)), "TIFF"),
        "seven.tif",
        "image/tiff",
    ),
    "TIFF of not-a-numbers": MalformedFile(
        EITHER,
        lambda: saved(
            Image.fromarray(np.where(np.asarray(digit_one()) > 0, np.nan, np.inf).astype(np.float32)), "TIFF"
        ),
        "seven.tif",
        "image/tiff",
    ),
    "TIFF in CMYK": MalformedFile(
        GOOD, lambda: saved(digit_one(mode="RGB").convert("CMYK"), "TIFF"), "seven.tif", "image/tiff"
    ),
    "JPEG in CMYK": MalformedFile(
        GOOD, lambda: saved(digit_one(mode="RGB").convert("CMYK"), "JPEG"), "seven.jpg", "image/jpeg"
    ),
    "JPEG that says it is a PNG": MalformedFile(GOOD, lambda: saved(digit_one(), "JPEG")),
    "PNG that says it is a text": MalformedFile(GOOD, lambda: saved(digit_one(), "PNG"), "seven.txt", "text/plain"),
    "broken profile": MalformedFile(GOOD, lambda: saved(digit_one(), "PNG", icc_profile=b"\0\xff" * 5_000)),
    "9 MB of metadata": MalformedFile(
        GOOD,
        lambda: saved(digit_one(), "JPEG", exif=exif(1, _010e="x" * 60_000)) + bytes(9_000_000),
        "p.jpg",
        "image/jpeg",
    ),
    **{
        f"turned by {turn}": MalformedFile(
            GOOD, lambda turn=turn: saved(digit_one(), "JPEG", exif=exif(turn)), "photo.jpg", "image/jpeg"
        )
        for turn in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    },
    # --- Polyglots ---
    "PNG and a script behind it": MalformedFile(GOOD, lambda: saved(digit_one(), "PNG") + SECRET),
    "PNG and a zip behind it": MalformedFile(GOOD, lambda: saved(digit_one(), "PNG") + archive()),
    "PNG with a script as its comment": MalformedFile(GOOD, png_text),
    "JPEG with a script as its comment": MalformedFile(
        GOOD, lambda: saved(digit_one(), "JPEG", comment=SECRET), "seven.jpg", "image/jpeg"
    ),
    "GIF that is JavaScript too": MalformedFile(
        EITHER, lambda: b"GIF89a=1;" + SECRET + saved(digit_one(), "GIF")[6:], "seven.gif", "image/gif"
    ),
    "script in EXIF": MalformedFile(
        GOOD, lambda: saved(digit_one(), "JPEG", exif=exif(1, _010e=SECRET.decode())), "seven.jpg", "image/jpeg"
    ),
    # --- File names ---
    "a name that climbs": MalformedFile(GOOD, lambda: saved(digit_one(), "PNG"), "../../../../etc/cron.d/seven.png"),
    "a name that is a script": MalformedFile(
        GOOD, lambda: saved(digit_one(), "PNG"), "<img src=x onerror=alert(1)>.png"
    ),
    "a name of two endings": MalformedFile(
        GOOD, lambda: saved(digit_one(), "PNG"), "seven.php.png", "application/x-php"
    ),
    "a name of 4,000 letters": MalformedFile(EITHER, lambda: saved(digit_one(), "PNG"), "s" * 4_000 + ".png"),
    # --- Damaged ---
    **{
        f"{kind} cut at {share:.0%}": MalformedFile(
            BAD,
            lambda kind=kind, share=share: (data := saved(noisy(), kind))[: int(len(data) * share)],
            f"seven.{kind.lower()}",
            f"image/{kind.lower()}",
        )
        for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
        for share in (0.1, 0.7)
    },
    "PNG without an end": MalformedFile(EITHER, lambda: saved(digit_one(), "PNG")[:-12]),
    "PNG with a wrong sum": MalformedFile(BAD, lambda: saved(digit_one(), "PNG").replace(b"IHDR", b"IHDr", 1)),
    "only a PNG's signature": MalformedFile(BAD, lambda: b"\x89PNG\r\n\x1a\n"),
    "only a JPEG's first marker": MalformedFile(BAD, lambda: b"\xff\xd8\xff", "seven.jpg", "image/jpeg"),
    "JPEG whose length runs out": MalformedFile(
        BAD, lambda: b"\xff\xd8\xff\xe0\xff\xff" + bytes(50), "seven.jpg", "image/jpeg"
    ),
}


def noisy() -> Image.Image:
    """Return an image that no format compresses to a few bytes."""
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 90), dtype=np.uint8))
