"""Removal of metadata before decoding; pixels and orientation are preserved."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin, TiffImagePlugin

from ml.serving import images
from ml.serving.images import ImageError
from ml.serving.metadata import exif_orientation, strip_metadata
from tests.support.malformed_files import MEGABYTE, chunk, digit_one, exif, png_of_texts, saved, tiff_with


def asymmetric_image() -> Image.Image:
    """Return an image whose sides and corner colours differ, so that every rotation and flip changes it."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:10, :20], pixels[-10:, :20], pixels[:10, -20:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return Image.fromarray(pixels)


def png_text() -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    text.add_text("plain", "secret")
    text.add_text("zipped", "secret" * 1000, zip=True)
    text.add_itxt("international", "secret" * 1000, zip=True)
    text.add(b"prIv", b"secret")
    return text


def tiff_tags(**extra: object) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[65000], tags.tagtype[65000] = b"secret" * 1000, 1
    tags[270], tags[700] = "secret", b"secret" * 100
    for number, value in extra.items():
        tags[int(number[1:])] = value
    return tags


OPTIONS_WITH_METADATA = {
    "JPEG": {"exif": exif(6), "icc_profile": b"secret" * 30_000, "comment": b"secret", "xmp": b"secret", "dpi": (9, 9)},
    "progressive JPEG": {"exif": exif(3), "icc_profile": b"secret" * 30_000, "progressive": True},
    "PNG": {"exif": exif(6), "icc_profile": b"secret" * 30_000, "pnginfo": png_text()},
    "TIFF": {"tiffinfo": tiff_tags(t274=6), "icc_profile": b"secret" * 30_000, "compression": "tiff_lzw"},
    "big TIFF": {"tiffinfo": tiff_tags(t274=8), "big_tiff": True},
    "WEBP": {"exif": exif(6), "icc_profile": b"secret" * 30_000, "xmp": b"secret", "lossless": True},
    "GIF": {"comment": b"secret"},
    "BMP": {},
}


@pytest.mark.parametrize("name", OPTIONS_WITH_METADATA)
def test_metadata_is_removed_and_the_upright_image_preserved(name):
    data = saved(asymmetric_image(), name.rpartition(" ")[2], **OPTIONS_WITH_METADATA[name])
    stripped = strip_metadata(data)
    with Image.open(io.BytesIO(stripped.data)) as image:
        if image.format == "TIFF":
            assert not {270, 700, 34675, 65000} & set(image.tag_v2)
        elif image.format in ("JPEG", "PNG"):
            assert b"secret" in data
            assert b"secret" not in stripped.data
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(np.asarray(images.decode(data).convert("RGB")), expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_file_without_metadata_is_not_copied(kind):
    data = saved(asymmetric_image(), kind)
    assert strip_metadata(data).data is data


def test_only_the_first_directory_of_a_tiff_is_kept():
    buffer = io.BytesIO()
    digit_one().save(buffer, "TIFF", save_all=True, append_images=[digit_one(), digit_one()])
    with Image.open(io.BytesIO(strip_metadata(buffer.getvalue()).data)) as image:
        assert image.n_frames == 1


@pytest.mark.parametrize(
    "exif_block", [b"", b"Exif\0\0", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"x" * 100]
)
def test_damaged_exif_block_means_upright(exif_block):
    assert exif_orientation(exif_block) == 1


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_invalid_orientation_means_upright(value):
    entry = struct.pack("<HHLHH", 0x0112, 3, 1, value, 0)
    assert exif_orientation(b"II*\0" + struct.pack("<LH", 8, 1) + entry) == 1


# --- Files that need far more memory than their size ---------------------------------------------------------


def png_of_private_chunks() -> bytes:
    data = saved(digit_one(), "PNG")
    return data[:33] + chunk(b"prIv", bytes(MEGABYTE)) * 9 + data[33:]


def png_of_late_texts() -> bytes:
    data = saved(digit_one(), "PNG")
    text = b"key\0\0" + zlib.compress(b"x" * (MEGABYTE - 10), 9)
    return data[:-12] + chunk(b"zTXt", text) * 64 + data[-12:]


def jpeg_of_many_pictures() -> bytes:
    """Return a JPEG whose MPF index has 5,000 tags that refer to the same 60 KB (CIPA DC-007)."""
    entries = b"".join(struct.pack("<HHLL", 1000 + number, 7, 12, 8) for number in range(5_000))
    index = b"MPF\0II*\0" + struct.pack("<LH", 8, 5_000) + entries + bytes(4)
    return _with_segments(saved(digit_one(), "JPEG"), 0xE2, [index])


def jpeg_of_one_long_exif() -> bytes:
    return _with_segments(
        saved(digit_one(), "JPEG"), 0xE1, [b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0" + bytes(60_000)] * 150
    )


def _with_segments(data: bytes, marker: int, bodies: list[bytes]) -> bytes:
    return data[:2] + b"".join(struct.pack(">BBH", 255, marker, len(body) + 2) + body for body in bodies) + data[2:]


BOMBS = {
    "PNG of texts": (True, png_of_texts),
    "PNG of late texts": (True, png_of_late_texts),
    "PNG of private chunks": (True, png_of_private_chunks),
    "JPEG of many pictures": (True, jpeg_of_many_pictures),
    "JPEG of one long EXIF": (True, jpeg_of_one_long_exif),
    "TIFF with a large private tag": (True, lambda: tiff_with(65000, 1, 1, 9 * MEGABYTE)),
    "TIFF with a large text": (True, lambda: tiff_with(270, 2, 1, 9 * MEGABYTE)),
    "TIFF with many formats of samples": (False, lambda: tiff_with(339, 5, 8, 1_100_000)),
    "TIFF with many bits": (False, lambda: tiff_with(258, 4, 4, 2_200_000)),
    "TIFF with many strips": (False, lambda: tiff_with(273, 4, 4, 2_200_000)),
    "TIFF with fractional strips": (False, lambda: tiff_with(273, 5, 8, 1_100_000)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_metadata_takes_no_more_memory_than_a_copy_of_the_file(name):
    is_accepted, make = BOMBS[name]
    data = make()
    assert len(data) < 10 * MEGABYTE
    images.decode(saved(digit_one(), name.partition(" ")[0]))  # so that imports on first use are not measured
    tracemalloc.start()
    try:
        if is_accepted:
            assert images.decode(data).size == (60, 60)
        else:
            with pytest.raises(ImageError, match="too many"):
                images.decode(data)
        assert tracemalloc.get_traced_memory()[1] < len(data) + MEGABYTE
    finally:
        tracemalloc.stop()
