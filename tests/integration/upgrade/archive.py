"""A few large files in a small archive: what they share with known files is stored as a reference to it.

The sites of the fixture hold each model in their databases, in backups and in an SQL dump, there as hexadecimal text:
44 MB, of which the two archives keep 1.1 MB.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Parts that both files have in common are looked for in blocks of this size.
BLOCK = 64


class ArchiveError(ValueError):
    """A file of the archive is not what was packed."""


@dataclass(frozen=True)
class _Reference:
    """The known files one after the other, as they are and as hexadecimal text."""

    data: bytes

    @classmethod
    def of(cls, known: Sequence[bytes]) -> _Reference:
        joined = b"".join(known)
        return cls(joined + joined.hex().encode())


def pack(files: Mapping[str, bytes], known: Sequence[bytes]) -> bytes:
    """Return the archive of `files`, of which parts occur in the `known` files."""
    reference = _Reference.of(known).data
    places = {reference[at : at + BLOCK]: at for at in range(0, len(reference) - BLOCK + 1, BLOCK)}
    index, literals = {}, []
    for name, data in files.items():
        steps, literal = _differences(data, reference, places)
        index[name] = {"sha256": hashlib.sha256(data).hexdigest(), "steps": steps}
        literals.append(literal)
    head = json.dumps(index, separators=(",", ":")).encode()
    return lzma.compress(len(head).to_bytes(8) + head + b"".join(literals), preset=9 | lzma.PRESET_EXTREME)


def unpack(archive: bytes, known: Sequence[bytes]) -> dict[str, bytes]:
    """Return the files of an archive.

    Raises:
        ArchiveError: a file is not what was packed, because a known file is another one.
    """
    reference = _Reference.of(known).data
    content = lzma.decompress(archive)
    at = 8 + int.from_bytes(content[:8])
    files = {}
    for name, entry in json.loads(content[8:at]).items():
        parts = []
        for start, size in entry["steps"]:
            if start < 0:
                parts.append(content[at : at + size])
                at += size
            else:
                parts.append(reference[start : start + size])
        files[name] = b"".join(parts)
        if hashlib.sha256(files[name]).hexdigest() != entry["sha256"]:
            raise ArchiveError(f"{name} cannot be unpacked: a model file beside the archive has changed.")
    return files


def _differences(data: bytes, reference: bytes, places: Mapping[bytes, int]) -> tuple[list[tuple[int, int]], bytes]:
    """The steps that make `data`: (place in the reference, size), or (-1, size) for the next bytes of the literals."""
    steps, literal, at, end = [], bytearray(), 0, len(data)
    start = 0
    while at + BLOCK <= end:
        place = places.get(data[at : at + BLOCK])
        if place is None:
            at += 1
            continue
        while at > start and place > 0 and data[at - 1] == reference[place - 1]:
            at, place = at - 1, place - 1
        size = BLOCK
        while at + size < end and place + size < len(reference) and data[at + size] == reference[place + size]:
            size += 1
        if at > start:
            steps.append((-1, at - start))
            literal += data[start:at]
        steps.append((place, size))
        start = at = at + size
    if start < end:
        steps.append((-1, end - start))
        literal += data[start:]
    return steps, bytes(literal)
