"""Export of images with settled labels: as NumPy arrays, or as a table with PNG files.

The rows are read in one statement, so that an archive is consistent. The pixels go through an anonymous temporary file,
so that memory use does not depend on the number of images. The same data gives the same bytes, and the same content
hash in both formats. Exports hold no personal data, and leave out images whose owners opted out of training.
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
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy
from PIL import Image

from ml.versions import SIDE
from recognizer.models import Submission, SubmissionQuerySet
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.lib import temp_files

FORMATS = ("npz", "zip")
PIXELS = SIDE * SIDE
NO_DIGIT = -1
NO_CROP = (0, 0, 0, 0)
CHUNK = 500
# A constant, so that equal data gives equal files.
ZIP_TIMESTAMP = (1980, 1, 1, 0, 0, 0)

COLUMNS = (
    *("public_id", "truth", "fold", "source", "crop", "created", "preprocessing_version", "demo"),
    *("pixels", "further_pixels", "latest_prediction__reading"),
)
# The first line of COLUMNS, for packing with struct and for reading with NumPy.
RECORD = struct.Struct("<16s12s8s8s4HqH?")
RECORD_FIELDS = {
    "id": "S16",
    "truth": "S12",
    "fold": "S8",
    "source": "S8",
    "crop": "(4,)<u2",
    "created": "<M8[us]",
    "preprocessing_version": "<u2",
    "demo": "?",
}
RECORD_TYPE = np.dtype(list(RECORD_FIELDS.items()))

_slots = temp_files.slots("Other exports are being made right now. Please try again in a moment.")


@dataclass(frozen=True, slots=True)
class LabelledDataset:
    """A consistent snapshot of images with settled labels.

    Attributes:
        rows: One record (`RECORD_TYPE`) for each image, oldest first.
        pixels: A file with 784 bytes of each image, in the same order: the reading that the latest prediction chose.
        content_hash: SHA-256 of rows and pixels, in hexadecimal.
    """

    rows: npt.NDArray[Any]
    pixels: IO[bytes]
    content_hash: str

    def counts(self) -> dict[str, object]:
        """Return the number of images, in all and by label, fold and source."""
        groups = {f"by_{name}": _count_values(self.rows[name]) for name in ("truth", "fold", "source")}
        return {"count": len(self.rows), **groups}


def settled_submissions(actor: Actor) -> SubmissionQuerySet:
    """Return all submissions that can be exported; callers may filter them.

    Raises:
        NotAllowedError: The actor is neither a reviewer nor an operator.
    """
    if not actor.sees_all:
        raise NotAllowedError("Only reviewers and operators can export labelled data.")
    return Submission.objects.settled().filter(may_train=True).order_by("id")


@contextmanager
def snapshot(rows: SubmissionQuerySet, *, caller: str) -> Iterator[LabelledDataset]:
    """Read a consistent snapshot, whose pixels are in a temporary file that is deleted with the context.

    Args:
        rows: The submissions to export.
        caller: The key of the caller (`Actor.caller_key`), whose share of the export slots this takes.

    Raises:
        BusyError: Too many other exports are running.
    """
    with _slots.slot(caller, seconds=temp_files.WAIT_SECONDS), temp_files.anonymous_file() as spool:
        records, digest = bytearray(), hashlib.sha256()
        table = rows.values_list(*COLUMNS).iterator(CHUNK)
        for *columns, crop, created, version, demo, pixels, further, reading in table:
            microseconds = int(np.datetime64(created.replace(tzinfo=None), "us").astype(np.int64))
            texts = (text.encode() for text in columns)
            record = RECORD.pack(*texts, *(crop or NO_CROP), microseconds, version, demo)
            records += record
            digest.update(record)
            selected = further[(reading - 1) * PIXELS : reading * PIXELS] if reading else pixels
            digest.update(selected)
            spool.write(selected)
        yield LabelledDataset(np.frombuffer(bytes(records), RECORD_TYPE), spool, digest.hexdigest())


def write_archive(data: LabelledDataset, *, form: str, filters: Mapping[str, object]) -> IO[bytes]:
    """Write a snapshot as an archive with a `manifest.json` that has the counts and the content hash.

    Args:
        data: The snapshot.
        form: `npz` for arrays `x` uint8 (N, 28, 28), `y` int8 (N,) with -1 for labels that are not a digit, and one
            array for each column, of which `crop` uint16 (N, 4) is 0 without a crop. `zip` for `settled.csv` and a PNG
            file for each row.
        filters: The filters of the rows, for the manifest.

    Returns:
        An anonymous temporary file, positioned at its start and deleted when it is closed.
    """
    manifest = {"format": form, "content_hash": data.content_hash, **data.counts(), "filters": dict(filters)}
    file = temp_files.anonymous_file()
    # Without compression: PNG files are compressed already, and uncompressed arrays can be memory-mapped.
    with zipfile.ZipFile(file, "w") as target:
        _add(target, "manifest.json", json.dumps(manifest, indent=1, sort_keys=True).encode())
        (_add_arrays if form == "npz" else _add_images)(target, data)
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
    columns |= {name: _decode_text(data.rows[name]) for name in RECORD_FIELDS}
    for name, column in columns.items():
        with target.open(_entry(f"{name}.npy"), "w") as entry:
            npy.write_array(entry, column, allow_pickle=False)


def _decode_text(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convert a column of bytes to text."""
    is_text = column.dtype.kind == "S"
    return np.ascontiguousarray(column.astype(f"U{column.itemsize}") if is_text else column)


def _add_images(target: zipfile.ZipFile, data: LabelledDataset) -> None:
    table = io.StringIO()
    lines = csv.writer(table, lineterminator="\n")
    lines.writerow(["file", *RECORD_FIELDS])
    data.pixels.seek(0)
    for row in data.rows:
        name = f"pixels/{row['id'].decode()}.png"
        image = Image.frombytes("L", (SIDE, SIDE), data.pixels.read(PIXELS))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        _add(target, name, buffer.getvalue())
        lines.writerow([name, *(_format_value(row[column]) for column in RECORD_FIELDS)])
    _add(target, "settled.csv", table.getvalue().encode())


def _format_value(value: np.generic | npt.NDArray[np.uint16]) -> str:
    if isinstance(value, np.ndarray):
        return " ".join(map(str, value.tolist())) if value.any() else ""
    if isinstance(value, np.bytes_):
        return value.decode()
    if isinstance(value, np.datetime64):
        return f"{value}Z"
    return str(value).lower()


def _add(target: zipfile.ZipFile, name: str, content: bytes) -> None:
    target.writestr(_entry(name), content)


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, ZIP_TIMESTAMP)


def _count_values(column: npt.NDArray[np.bytes_]) -> dict[str, int]:
    return {value.decode(): int(count) for value, count in zip(*np.unique(column, return_counts=True), strict=True)}
