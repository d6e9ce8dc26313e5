"""Serving bundle: the file format of a model that workers load, with a LiteRT model and its manifest.

It is an uncompressed zip file with fixed timestamps, so that the same model gives the same bytes. Training writes it,
`ml.serving.classifier` reads it, and a site stores it in its database. Print the manifest of a bundle with

    python -m ml.serving.bundle ml/base/model.bundle
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import sys
import zipfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Formats that can be read; the last one is written. Format 1 has neither `readings` nor `valid`.
FORMATS = (1, 2)
FORMAT = FORMATS[-1]
BASE_FOLDER = Path(__file__).parents[1] / "base"
KERAS_FILE = "my_model.keras"
BUNDLE_FILE = "model.bundle"
MODEL_MEMBER = "model.tflite"
MANIFEST_MEMBER = "manifest.json"
# A bundle of this network has 0.9 MB. Members far above that size are rejected before they are unpacked.
MAX_MEMBER_BYTES = 50 * 1024 * 1024


class BundleError(ValueError):
    """A serving bundle, or a Keras file, that cannot be served."""


@dataclass(frozen=True)
class Manifest:
    """Metadata that is needed to interpret the output of a served model.

    Attributes:
        format: version of the file format that the manifest was read from.
        recipe: name of the training recipe.
        preprocessing_version: version of `ml.preprocessing` whose 28x28 pixels the model expects.
        weights_sha256: fingerprint of the Keras model's weights (`ml.serving.export.weights_sha256`).
        model_sha256: SHA-256 of the LiteRT model in this bundle.
        temperature: divisor of the logits before the softmax.
        sure_margin: minimum margin between the two highest probabilities for the verdict "sure".
        sure_energy: maximum energy for the verdict "sure".
        refuse_energy: energy above which the verdict is "not a digit".
        readings: handicap of each kind of reading (`ml.serving.choice`); None: only the plain reading is used.
        valid: parameters of the probability that a piece of a number is one digit; None if they were not fitted.
    """

    format: int
    recipe: str
    preprocessing_version: int
    weights_sha256: str
    model_sha256: str
    temperature: float
    sure_margin: float
    sure_energy: float
    refuse_energy: float
    readings: Mapping[str, float] | None = None
    valid: Mapping[str, float | list[float]] | None = None


# Fields that format 1 does not have.
_NEW_IN_FORMAT_2 = frozenset({"readings", "valid"})


@dataclass(frozen=True)
class Bundle:
    """A LiteRT model, (N, 28, 28, 1) float32 in 0..1 to (N, 10) logits, and its manifest."""

    model: bytes
    manifest: Manifest


def write(model: bytes, manifest: Manifest) -> bytes:
    """Pack a LiteRT model and its manifest, in the current format. The same arguments give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(asdict(replace(manifest, format=FORMAT)), indent=1, sort_keys=True)
        for name, data in ((MANIFEST_MEMBER, text.encode()), (MODEL_MEMBER, model)):
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data)
    return out.getvalue()


def read(data: bytes, *, sha256: str | None = None) -> Bundle:
    """Unpack and validate a bundle.

    Args:
        data: the bundle, as `write` returns it.
        sha256: the expected SHA-256 of the bundle, if known.

    Raises:
        BundleError: the bundle is missing, damaged or inconsistent, has another SHA-256, or is of an unknown format.
    """
    if not data:
        raise BundleError("The serving bundle is missing: there are no bytes to load.")
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise BundleError("The serving bundle does not match its record: its sha256 differs.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if set(members) != {MODEL_MEMBER, MANIFEST_MEMBER}:
                raise BundleError("The serving bundle is damaged: it does not hold one model and one manifest.")
            if any(info.file_size > MAX_MEMBER_BYTES for info in members.values()):
                raise BundleError("The serving bundle is invalid: one of its files is too large.")
            model = archive.read(MODEL_MEMBER)
            manifest = _parse_manifest(json.loads(archive.read(MANIFEST_MEMBER)))
    except BundleError:
        raise
    except Exception as error:  # zipfile alone raises seven exception types on damaged input
        raise BundleError(f"The serving bundle is damaged and cannot be read ({error}).") from error
    if hashlib.sha256(model).hexdigest() != manifest.model_sha256:
        raise BundleError("The serving bundle is damaged: its model does not match its manifest.")
    return Bundle(model, manifest)


def _parse_manifest(values: object) -> Manifest:
    if not isinstance(values, dict) or "format" not in values:
        raise BundleError("The serving bundle is damaged: its manifest is unreadable.")
    if values["format"] not in FORMATS:
        raise BundleError(
            f"The serving bundle has format {values['format']}, this version reads the formats up to {FORMAT}: "
            "serve it with the version that wrote it, or train again."
        )
    names = {field.name for field in fields(Manifest)}
    if values["format"] == 1:
        names -= _NEW_IN_FORMAT_2
    if set(values) != names:
        unexpected = ", ".join(sorted(names ^ set(values)))
        raise BundleError(f"The serving bundle's manifest has missing or unknown fields: {unexpected}.")
    for name in ("temperature", "sure_margin", "sure_energy", "refuse_energy"):
        if not _is_number(values[name]):
            raise BundleError(f"The serving bundle's manifest has no valid {name}.")
    if values["temperature"] <= 0:
        raise BundleError("The serving bundle's temperature must be greater than zero.")
    handicaps, valid = values.get("readings"), values.get("valid")
    if handicaps is not None and not _is_mapping_of(handicaps, _is_number):
        raise BundleError("The serving bundle's manifest has no valid readings.")
    if valid is not None and not _is_mapping_of(valid, _is_number_or_list):
        raise BundleError("The serving bundle's manifest has no valid parameters in valid.")
    return Manifest(**values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_number_or_list(value: object) -> bool:
    return all(map(_is_number, value)) if isinstance(value, list) else _is_number(value)


def _is_mapping_of(values: object, is_valid: Callable[[object], bool]) -> bool:
    return isinstance(values, dict) and all(map(is_valid, values.values()))


def main() -> None:
    """Print the manifest of the bundle named on the command line."""
    try:
        bundle = read(Path(sys.argv[1]).read_bytes())
    except (BundleError, OSError) as error:
        sys.exit(str(error))
    print(json.dumps(asdict(bundle.manifest), indent=2))
    print(f"model: {len(bundle.model)} bytes")


if __name__ == "__main__":
    main()
