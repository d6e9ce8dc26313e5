"""Serving bundles: round trip, and errors for damaged, missing and exchanged bundles."""

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ml.serving import bundle as bundles
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE, BundleError, Manifest
from ml.serving.classifier import load_classifier

BASE = (BASE_FOLDER / BUNDLE_FILE).read_bytes()
FORMAT_1 = Path(__file__).parents[3] / "integration" / "upgrade" / "0.9.0" / BUNDLE_FILE


def rewritten(**members: bytes) -> bytes:
    """Return the base bundle with some members replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(BASE)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.get(name.split(".")[0], old.read(name)))
    return out.getvalue()


def manifest_with(**changes: object) -> bytes:
    values = dataclasses.asdict(bundles.read(BASE).manifest) | {"format": 2} | changes
    return json.dumps({key: value for key, value in values.items() if value is not ...}).encode()


def test_written_bundle_is_read_back_and_bytes_are_reproducible():
    sha256 = hashlib.sha256(b"model").hexdigest()
    handicaps, valid = {"padded": 0.15, "sheet": 0.3}, {"weights": [0.5, -1.0], "bias": 2.0}
    manifest = Manifest(2, "base", 1, "w", sha256, 0.5, 0.6, -4.0, -2.0, readings=handicaps, valid=valid)
    data = bundles.write(b"model", manifest)
    assert data == bundles.write(b"model", manifest)
    assert bundles.read(data) == bundles.Bundle(b"model", manifest)


def test_bundle_of_format_1_is_read_without_handicaps_and_written_in_the_current_format():
    data = FORMAT_1.read_bytes()
    old = bundles.read(data)
    assert (old.manifest.format, old.manifest.readings, old.manifest.valid) == (1, None, None)
    new = bundles.read(bundles.write(old.model, old.manifest))
    assert new == dataclasses.replace(old, manifest=dataclasses.replace(old.manifest, format=2))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    assert [answer.reading for answer in load_classifier(data).answer(pixels)] == [0, 0, 0]


def test_shipped_bundle_is_valid_and_small():
    bundle = bundles.read(BASE, sha256=hashlib.sha256(BASE).hexdigest())
    assert bundle.manifest.recipe == "base"
    assert len(BASE) < 1_500_000


def test_missing_bundle_raises_error():
    with pytest.raises(BundleError, match="missing"):
        bundles.read(b"")


def test_bundle_with_another_sha256_is_rejected():
    with pytest.raises(BundleError, match="does not match its record"):
        bundles.read(rewritten(manifest=manifest_with(recipe="other")), sha256=hashlib.sha256(BASE).hexdigest())


@pytest.mark.parametrize("end", [10, 1000, len(BASE) // 2, len(BASE) - 1])
def test_truncated_bundle_is_rejected(end):
    with pytest.raises(BundleError, match="damaged"):
        bundles.read(BASE[:end])


def test_flipped_bit_in_the_model_is_detected():
    for position in range(2000, len(BASE) - 2000, 100_003):
        broken = bytearray(BASE)
        broken[position] ^= 1
        with pytest.raises(BundleError, match="damaged"):
            bundles.read(bytes(broken))


def test_model_that_does_not_match_the_manifest_is_rejected():
    with pytest.raises(BundleError, match="its model does not match its manifest"):
        bundles.read(rewritten(model=b"another model"))


def test_error_for_unknown_format_suggests_a_solution():
    with pytest.raises(BundleError, match=r"has format 3.*train again"):
        bundles.read(rewritten(manifest=manifest_with(format=3)))


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b"[1, 2]", "unreadable"),
        (b"{", "damaged"),
        (manifest_with(temperature=...), "temperature"),
        (manifest_with(surprise=1), "surprise"),
        (manifest_with(temperature=0), "greater than zero"),
        (manifest_with(refuse_energy="high"), "no valid refuse_energy"),
        (manifest_with(sure_margin=float("nan")), "no valid sure_margin"),
        (manifest_with(format=1), "unknown fields: readings, valid"),
        (manifest_with(format=2, valid=...), "unknown fields: valid"),
        (manifest_with(format=2, readings=["padded"]), "no valid readings"),
        (manifest_with(format=2, readings={"padded": float("inf")}), "no valid readings"),
        (manifest_with(format=2, valid={"weights": ["heavy"]}), "no valid parameters"),
    ],
)
def test_error_names_the_invalid_manifest_field(manifest, message):
    with pytest.raises(BundleError, match=message):
        bundles.read(rewritten(manifest=manifest))


def test_other_zip_file_is_rejected():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("holiday.jpg", b"sun")
    with pytest.raises(BundleError, match="does not hold one model and one manifest"):
        bundles.read(out.getvalue())


def test_invalid_litert_model_is_rejected():
    junk = b"junk" * 1000
    manifest = dataclasses.replace(bundles.read(BASE).manifest, model_sha256=hashlib.sha256(junk).hexdigest())
    with pytest.raises(BundleError, match="cannot be run"):
        load_classifier(bundles.write(junk, manifest))
