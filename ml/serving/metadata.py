"""Removal of metadata from image files before they are decoded.

Decoders load metadata (texts, colour profiles, thumbnails, directories of tags) into memory without a limit and keep it
with the image. So it is removed from the file first; only the orientation is read, by this module.

BMP has no metadata, that of GIF is bounded by the number of its blocks, and the WebP decoder needs the whole file, so
these three formats are unchanged.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

UPRIGHT = 1
# EXIF tag 0x0112: the transformation that makes the stored image upright (EXIF 2.32, section 4.6.4).
_ORIENTATION = 0x0112
_EXIF = b"Exif\0\0"

# https://www.w3.org/Graphics/JPEG/itu-t81.pdf, table B.1. APP0 and APP14 define the colour encoding.
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_APP0, _APP1, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
MAX_JPEG_SEGMENTS = 2_000

# https://www.w3.org/TR/png-3/#4Concepts.FormatTypes. The frames of an animation are kept (acTL, fcTL, fdAT).
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"IDAT", b"fdAT", b"IEND")
MAX_CHUNKS = 100_000

# TIFF 6.0, part 2, and BigTIFF. There is one value for each strip or tile; all other tags that pixels need are short.
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_LISTS = {273, 279, 324, 325}  # StripOffsets, StripByteCounts, TileOffsets, TileByteCounts
_TIFF_LIST_TYPES = {3, 4, 13, 16}  # SHORT, LONG, IFD, LONG8
_TIFF_TABLES = {320, 347}  # ColorMap, JPEGTables
_TIFF_SHORT = {
    *(254, 255, 256, 257, 258, 259, 262, 266, 274, 277, 278, 282, 283, 284, 292, 293, 296, 317, 322, 323, 338, 339),
    *range(512, 522),
    *(529, 530, 531, 532),
}
MAX_TIFF_TAGS = 1_000
MAX_TIFF_LIST = 100_000
MAX_TIFF_TABLE = 200_000
MAX_TIFF_VALUES = 64


class MetadataError(ValueError):
    """The structure of the file takes more memory or time than any image needs."""


@dataclass(frozen=True)
class StrippedFile:
    """An image file without metadata.

    Attributes:
        data: the file; the original bytes object if there was no metadata.
        orientation: EXIF orientation, 1 to 8; always 1 for TIFF, whose decoder applies the orientation itself.
    """

    data: bytes
    orientation: int = UPRIGHT


def strip_metadata(data: bytes) -> StrippedFile:
    """Remove the metadata from a JPEG, PNG or TIFF file.

    Damaged files and other formats are returned as they are; the decoder validates them.

    Raises:
        MetadataError: the file has too many segments, or a list in it is too long.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _strip_jpeg(data)
    if data.startswith(_PNG_START):
        return _strip_png(data)
    if data.startswith(_TIFF_STARTS):
        return StrippedFile(_strip_tiff(data))
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return StrippedFile(data, _webp_orientation(data))
    return StrippedFile(data)


def exif_orientation(exif: bytes | memoryview) -> int:
    r"""Read the orientation from an EXIF block without loading other tags.

    Args:
        exif: a TIFF header and its directory, with or without the prefix `Exif\0\0`.

    Returns:
        1 to 8; 1 if the block has no valid orientation.
    """
    block = memoryview(exif)
    if bytes(block[: len(_EXIF)]) == _EXIF:
        block = block[len(_EXIF) :]
    order = ">" if bytes(block[:2]) == b"MM" else "<"
    try:
        [start] = struct.unpack_from(f"{order}L", block, 4)
        [count] = struct.unpack_from(f"{order}H", block, start)
        for position in range(start + 2, start + 2 + 12 * count, 12):
            tag, _type, _count, value = struct.unpack_from(f"{order}HHLH", block, position)
            if tag == _ORIENTATION:
                return int(value) if value in range(1, 9) else UPRIGHT
    except struct.error:  # a damaged block has no orientation
        pass
    return UPRIGHT


def _strip_jpeg(data: bytes) -> StrippedFile:
    view, orientation, position = memoryview(data), UPRIGHT, 2
    pieces: list[bytes | memoryview] = [data[:2]]
    for _ in range(MAX_JPEG_SEGMENTS):
        match = _JPEG_MARKER.search(data, position)
        if match is None:
            break
        marker, start, position = match[1][0], match.start(), match.end()
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            pieces.append(view[start:])
            break
        position += max(2, int.from_bytes(view[position : position + 2], "big"))
        if marker == _APP1 and orientation == UPRIGHT and view[start + 4 : start + 10] == _EXIF:
            orientation = exif_orientation(view[start + 4 : position])
        if marker in (_APP0, _APP14) or not (_APP0 <= marker <= _APP15 or marker == _COMMENT):
            pieces.append(view[start:position])
    else:
        raise MetadataError(f"The file has more than {MAX_JPEG_SEGMENTS} segments before its picture.")
    return StrippedFile(_join(data, pieces), orientation)


def _strip_png(data: bytes) -> StrippedFile:
    view, orientation, position = memoryview(data), UPRIGHT, len(_PNG_START)
    pieces: list[bytes | memoryview] = [_PNG_START]
    for _ in range(MAX_CHUNKS):
        kind = data[position + 4 : position + 8]
        if len(kind) < 4:
            break
        end = position + 12 + int.from_bytes(view[position : position + 4], "big")
        if kind in _PNG_CHUNKS:
            pieces.append(view[position:end])
        elif kind == b"eXIf":
            orientation = exif_orientation(view[position + 8 : end - 4])
        if kind == b"IEND":
            break
        position = end
    else:
        raise MetadataError(f"The file has more than {MAX_CHUNKS} chunks.")
    return StrippedFile(_join(data, pieces), orientation)


def _join(data: bytes, pieces: list[bytes | memoryview]) -> bytes:
    """Join the pieces of a file; return the original bytes object if no byte was removed."""
    return data if sum(map(len, pieces)) == len(data) else b"".join(pieces)


def _webp_orientation(data: bytes) -> int:
    """Read the orientation of a WebP file (https://developers.google.com/speed/webp/docs/riff_container)."""
    position = 12
    for _ in range(MAX_CHUNKS):
        kind = data[position : position + 4]
        if len(kind) < 4:
            return UPRIGHT
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if kind == b"EXIF":
            return exif_orientation(memoryview(data)[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    raise MetadataError(f"The file has more than {MAX_CHUNKS} chunks.")


def _strip_tiff(data: bytes) -> bytes:
    """Reduce the first directory to the tags that the pixels need, and remove the link to the next directory."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = b"+" in data[2:4]
    # The position of the directory's offset, and the struct formats of an offset, an entry count and an entry's start.
    position, offset_format, count_format, entry_format = (8, "Q", "Q", "HHQ") if is_big else (4, "L", "H", "HHL")
    offset_format, count_format, entry_format = order + offset_format, order + count_format, order + entry_format
    entry_size = 20 if is_big else 12
    try:
        [start] = struct.unpack_from(offset_format, data, position)
        [count] = struct.unpack_from(count_format, data, start)
        if count > MAX_TIFF_TAGS:
            raise MetadataError(f"The file has more than {MAX_TIFF_TAGS} tags.")
        first = start + struct.calcsize(count_format)
        end = first + count * entry_size
        [next_directory] = struct.unpack_from(offset_format, data, end)
        entries = [(struct.unpack_from(entry_format, data, at), at) for at in range(first, end, entry_size)]
    except (struct.error, OverflowError):
        return data
    needed = [data[at : at + entry_size] for (tag, kind, values), at in entries if _is_needed(tag, kind, values)]
    if len(needed) == count and not next_directory:
        return data
    directory = struct.pack(count_format, len(needed)) + b"".join(needed) + struct.pack(offset_format, 0)
    view = memoryview(data)
    return b"".join([view[:start], directory, view[start + len(directory) :]])


def _is_needed(tag: int, kind: int, values: int) -> bool:
    """Return whether the decoder needs a tag.

    Args:
        tag: number of the tag.
        kind: type of its values.
        values: number of its values.

    Raises:
        MetadataError: the tag is needed, but has too many values, or values of a type that is slow to read.
    """
    if tag in _TIFF_LISTS:
        max_values = MAX_TIFF_LIST if kind in _TIFF_LIST_TYPES else 1
    elif tag in _TIFF_TABLES:
        max_values = MAX_TIFF_TABLE
    elif tag in _TIFF_SHORT:
        max_values = MAX_TIFF_VALUES
    else:
        return False
    if values > max_values:
        raise MetadataError(f"Tag {tag} of the file has {values} values, which is too many.")
    return True
