"""Settled pictures and their labels, to take away: as NumPy arrays, or as a table with PNG files.

The rows are read once, in one statement, so that an archive is of one moment; they go through files without a name, so
that a hundred thousand pictures need no more memory than a hundred. The same data gives the same bytes and the same
content hash, whichever the format. Nothing says whose the pictures are, and what its owner does not want learned from
is left out.
"""

import csv
import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np
from django.db.models import QuerySet
from numpy.lib import format as npy
from PIL import Image

from recognizer.models import Submission, TruthState
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.lib import temp_files

FORMATS = ("npz", "zip")
SIDE = 28
PIXELS = SIDE * SIDE
NO_DIGIT = -1
CHUNK = 500
# Whatever the clock says: equal data makes equal files.
ZIP_TIMESTAMP = (1980, 1, 1, 0, 0, 0)

COLUMNS = ("public_id", "truth", "fold", "source", "created", "preprocessing_version", "demo", "pixels")
# One row's columns but for the pixels, as struct packs them and as NumPy reads them.
RECORD = struct.Struct("<16s12s8s8sqH?")
RECORD_TYPE = np.dtype(
    [
        ("id", "S16"),
        ("truth", "S12"),
        ("fold", "S8"),
        ("source", "S8"),
        ("created", "<M8[us]"),
        ("preprocessing_version", "<u2"),
        ("demo", "?"),
    ]
)

_slots = temp_files.slots("Other exports are being made right now. Please try again in a moment.")


@dataclass(frozen=True, slots=True)
class LabelledDataset:
    """Settled data of one moment.

    Attributes:
        rows: one record (`RECORD_TYPE`) for each picture, oldest first.
        pixels: a file with the 784 bytes of each, in the same order.
        content_hash: sha256 of all of it, in hexadecimal.
    """

    rows: np.ndarray
    pixels: IO[bytes]
    content_hash: str

    def counts(self) -> dict[str, object]:
        """How many there are, in all and of each kind."""
        kinds = {f"by_{name}": _counts(self.rows[name]) for name in ("truth", "fold", "source")}
        return {"count": len(self.rows), **kinds}


def settled_submissions(actor: Actor) -> QuerySet[Submission]:
    """What can be exported, to be narrowed down.

    Raises:
        NotAllowedError: the actor is neither reviewer nor operator.
    """
    if not permissions.can_export(actor):
        raise NotAllowedError("Only reviewers and operators take settled data away.")
    return Submission.objects.filter(truth_state=TruthState.SETTLED, may_train=True).order_by("id")


@contextmanager
def snapshot(rows: QuerySet[Submission], *, caller: str) -> Iterator[LabelledDataset]:
    """Read the rows, all of one moment; their pixels are kept in a file while the context lasts.

    Args:
        caller: whose share of the exports that are made at once this takes (`Actor.share_key`).

    Raises:
        BusyError: too many other exports are being made.
    """
    with _slots.slot(caller, seconds=temp_files.WAIT_SECONDS), temp_files.anonymous_file() as spool:
        records, digest = bytearray(), hashlib.sha256()
        for *columns, created, version, demo, pixels in rows.values_list(*COLUMNS).iterator(CHUNK):
            microseconds = int(np.datetime64(created.replace(tzinfo=None), "us").astype(np.int64))
            record = RECORD.pack(*(one.encode() for one in columns), microseconds, version, demo)
            records += record
            digest.update(record)
            digest.update(pixels)
            spool.write(pixels)
        yield LabelledDataset(np.frombuffer(bytes(records), RECORD_TYPE), spool, digest.hexdigest())


def write_archive(data: LabelledDataset, *, form: str, filters: Mapping[str, object]) -> IO[bytes]:
    """An open file without a name that holds the archive, at its beginning; closing it deletes it.

    Args:
        form: `npz`: arrays `x` uint8 (N, 28, 28), `y` int8 (N,) with -1 for what is no digit, and one for each column.
            `zip`: `settled.csv`, and a PNG for each row. Both hold a `manifest.json` with counts and content hash.
        filters: what the data was narrowed down by, for the manifest.
    """
    manifest = {"format": form, "content_hash": data.content_hash, **data.counts(), "filters": dict(filters)}
    file = temp_files.anonymous_file()
    # Nothing is compressed: PNG is already, and arrays that are not can be read in place.
    with zipfile.ZipFile(file, "w") as target:
        _add(target, "manifest.json", json.dumps(manifest, indent=1, sort_keys=True).encode())
        (_add_arrays if form == "npz" else _add_pictures)(target, data)
    file.seek(0)
    return file


def _add_arrays(target: zipfile.ZipFile, data: LabelledDataset) -> None:
    with target.open(_entry("x.npy"), "w", force_zip64=True) as entry:
        shape = (len(data.rows), SIDE, SIDE)
        npy.write_array_header_1_0(entry, {"descr": "|u1", "fortran_order": False, "shape": shape})
        data.pixels.seek(0)
        while block := data.pixels.read(CHUNK * PIXELS):
            entry.write(block)
    truth = data.rows["truth"].astype("U12")
    columns = {"y": np.where(np.char.isdigit(truth), truth, str(NO_DIGIT)).astype(np.int8)}
    columns |= {name: _readable(data.rows[name]) for name in RECORD_TYPE.names}
    for name, column in columns.items():
        with target.open(_entry(f"{name}.npy"), "w") as entry:
            npy.write_array(entry, column, allow_pickle=False)


def _readable(column: np.ndarray) -> np.ndarray:
    """Words as words: NumPy would show bytes."""
    is_text = column.dtype.kind == "S"
    return np.ascontiguousarray(column.astype(f"U{column.itemsize}") if is_text else column)


def _add_pictures(target: zipfile.ZipFile, data: LabelledDataset) -> None:
    table = io.StringIO()
    lines = csv.writer(table, lineterminator="\n")
    lines.writerow(["file", *RECORD_TYPE.names])
    data.pixels.seek(0)
    for row in data.rows:
        name = f"pixels/{row['id'].decode()}.png"
        picture = Image.frombytes("L", (SIDE, SIDE), data.pixels.read(PIXELS))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        _add(target, name, buffer.getvalue())
        lines.writerow([name, *(_text(row[column]) for column in RECORD_TYPE.names)])
    _add(target, "settled.csv", table.getvalue().encode())


def _text(value: np.generic) -> str:
    if isinstance(value, np.bytes_):
        return value.decode()
    if isinstance(value, np.datetime64):
        return f"{value}Z"
    return str(value).lower()


def _add(target: zipfile.ZipFile, name: str, content: bytes) -> None:
    target.writestr(_entry(name), content)


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, ZIP_TIMESTAMP)


def _counts(column: np.ndarray) -> dict[str, int]:
    return {value.decode(): int(count) for value, count in zip(*np.unique(column, return_counts=True), strict=True)}
