"""Picture files without their metadata.

Decoders build what a file holds beside its pixels (texts, colour profiles, thumbnails, directories of tags) in memory
before anybody can say how large that may be, and keep it with the picture. So it is cut out of the file first; the
orientation alone is read, here.

BMP has no metadata, that of GIF is bounded by the number of its blocks, and the WebP decoder is given the whole file:
these three stay as they are.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

UPRIGHT = 1
# EXIF tag 0x0112: how the stored picture must be turned to stand upright (EXIF 2.32, section 4.6.4).
_ORIENTATION = 0x0112
_EXIF = b"Exif\0\0"

# https://www.w3.org/Graphics/JPEG/itu-t81.pdf, table B.1. APP0 and APP14 say how colours are stored.
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_APP0, _APP1, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
MAX_JPEG_SEGMENTS = 2_000

# https://www.w3.org/TR/png-3/#4Concepts.FormatTypes. Of an animation (acTL, fcTL, fdAT) the first picture stays.
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
MAX_CHUNKS = 100_000

# TIFF 6.0, part 2, and BigTIFF. Strips and tiles are one value each; everything else that pixels need is short.
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
    """The structure of the file asks for more memory or time than any picture needs."""


@dataclass(frozen=True)
class StrippedFile:
    """A picture file without metadata.

    Attributes:
        data: the file; the very bytes that were given where there was nothing to cut out.
        orientation: 1 to 8 as EXIF counts them; 1 also for TIFF, whose decoder turns the picture by itself.
    """

    data: bytes
    orientation: int = UPRIGHT


def strip_metadata(data: bytes) -> StrippedFile:
    """Cut the metadata out of a JPEG, PNG or TIFF file. Damaged files and other formats are for the decoder to judge.

    Raises:
        MetadataError: the file is in too many pieces, or a list in it is too long.
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
    """Read the orientation out of an EXIF block, without building any of its other tags.

    Args:
        exif: a TIFF header and its directory, with or without `Exif\\0\\0` before it.

    Returns:
        1 to 8; 1 where the block says nothing else.
    """
    exif = memoryview(exif)
    if exif[: len(_EXIF)] == _EXIF:
        exif = exif[len(_EXIF) :]
    order = ">" if exif[:2] == b"MM" else "<"
    try:
        [start] = struct.unpack_from(f"{order}L", exif, 4)
        [count] = struct.unpack_from(f"{order}H", exif, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, _type, _count, value = struct.unpack_from(f"{order}HHLH", exif, place)
            if tag == _ORIENTATION:
                return value if value in range(1, 9) else UPRIGHT
    except struct.error:  # a damaged block says nothing about the picture
        pass
    return UPRIGHT


def _strip_jpeg(data: bytes) -> StrippedFile:
    view, kept, orientation, place = memoryview(data), [data[:2]], UPRIGHT, 2
    for _ in range(MAX_JPEG_SEGMENTS):
        found = _JPEG_MARKER.search(data, place)
        if found is None:
            break
        marker, start, place = found[1][0], found.start(), found.end()
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            kept.append(view[start:])
            break
        place += max(2, int.from_bytes(view[place : place + 2], "big"))
        if marker == _APP1 and orientation == UPRIGHT and view[start + 4 : start + 10] == _EXIF:
            orientation = exif_orientation(view[start + 4 : place])
        if marker in (_APP0, _APP14) or not (_APP0 <= marker <= _APP15 or marker == _COMMENT):
            kept.append(view[start:place])
    else:
        raise MetadataError(f"The file has more than {MAX_JPEG_SEGMENTS} segments before its picture.")
    return StrippedFile(_joined(data, kept), orientation)


def _strip_png(data: bytes) -> StrippedFile:
    view, kept, orientation, place = memoryview(data), [_PNG_START], UPRIGHT, len(_PNG_START)
    for _ in range(MAX_CHUNKS):
        kind = data[place + 4 : place + 8]
        if len(kind) < 4:
            break
        end = place + 12 + int.from_bytes(view[place : place + 4], "big")
        if kind in _PNG_CHUNKS:
            kept.append(view[place:end])
        elif kind == b"eXIf":
            orientation = exif_orientation(view[place + 8 : end - 4])
        if kind == b"IEND":
            break
        place = end
    else:
        raise MetadataError(f"The file has more than {MAX_CHUNKS} chunks.")
    return StrippedFile(_joined(data, kept), orientation)


def _joined(data: bytes, kept: list[bytes | memoryview]) -> bytes:
    return data if sum(map(len, kept)) == len(data) else b"".join(kept)


def _webp_orientation(data: bytes) -> int:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    place = 12
    for _ in range(MAX_CHUNKS):
        kind = data[place : place + 4]
        if len(kind) < 4:
            return UPRIGHT
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        if kind == b"EXIF":
            return exif_orientation(memoryview(data)[place + 8 : place + 8 + length])
        place += 8 + length + length % 2
    raise MetadataError(f"The file has more than {MAX_CHUNKS} chunks.")


def _strip_tiff(data: bytes) -> bytes:
    """Reduce the first directory to what the pixels need, and make it the last one."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = b"+" in data[2:4]
    # Where the directory's offset is, and the forms of an offset, a count of entries and the start of an entry.
    place, offset_form, count_form, entry_form = (8, "Q", "Q", "HHQ") if is_big else (4, "L", "H", "HHL")
    offset_form, count_form, entry_form = order + offset_form, order + count_form, order + entry_form
    entry_size = 20 if is_big else 12
    try:
        [start] = struct.unpack_from(offset_form, data, place)
        [count] = struct.unpack_from(count_form, data, start)
        if count > MAX_TIFF_TAGS:
            raise MetadataError(f"The file has more than {MAX_TIFF_TAGS} tags.")
        first = start + struct.calcsize(count_form)
        end = first + count * entry_size
        [next_directory] = struct.unpack_from(offset_form, data, end)
        entries = [(struct.unpack_from(entry_form, data, at), at) for at in range(first, end, entry_size)]
    except (struct.error, OverflowError):
        return data
    kept = [data[at : at + entry_size] for (tag, kind, values), at in entries if _is_needed(tag, kind, values)]
    if len(kept) == count and not next_directory:
        return data
    directory = struct.pack(count_form, len(kept)) + b"".join(kept) + struct.pack(offset_form, 0)
    view = memoryview(data)
    return b"".join([view[:start], directory, view[start + len(directory) :]])


def _is_needed(tag: int, kind: int, values: int) -> bool:
    """Whether the decoder needs the tag, which has `values` values of the type `kind`.

    Raises:
        MetadataError: it does, but there are too many values, or they are of a type that is costly to read.
    """
    if tag in _TIFF_LISTS:
        most = MAX_TIFF_LIST if kind in _TIFF_LIST_TYPES else 1
    elif tag in _TIFF_TABLES:
        most = MAX_TIFF_TABLE
    elif tag in _TIFF_SHORT:
        most = MAX_TIFF_VALUES
    else:
        return False
    if values > most:
        raise MetadataError(f"Tag {tag} of the file has {values} values, which is too many.")
    return True
