"""The serving bundle: one bytes object that a worker needs to answer, namely a LiteRT model and its manifest.

It is a zip file, stored and without dates, so that the same model gives the same bytes. `ml.training.loop` writes it,
`ml.serving.classifier` reads it, and a site keeps it in its database. See what is in one with

    python -m ml.serving.bundle ml/base/model.bundle
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import sys
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

FORMAT = 1
BASE_FOLDER = Path(__file__).parents[1] / "base"
KERAS_FILE = "my_model.keras"
BUNDLE_FILE = "model.bundle"
MODEL_MEMBER = "model.tflite"
MANIFEST_MEMBER = "manifest.json"
# A bundle of this network has 0.9 MB. Far more than that is not one, and is not unpacked.
MAX_MEMBER_BYTES = 50 * 1024 * 1024


class BundleError(ValueError):
    """The bundle, or the Keras file beside it, cannot be served. The message is one clear sentence."""


@dataclass(frozen=True)
class Manifest:
    """What the numbers of a served model mean.

    Attributes:
        format: version of this file format.
        recipe: name of the recipe that trained the model.
        preprocessing_version: the version of `ml.preprocessing` whose 28x28 pixels the model expects.
        weights_sha256: fingerprint of the Keras model's weights (`ml.serving.export.weights_sha256`).
        model_sha256: sha256 of the LiteRT model in this bundle.
        temperature: the logits are divided by it before the softmax.
        sure_margin: the best probability must lead the second by at least this for an answer to be sure.
        sure_energy: and the energy must be at most this.
        refuse_energy: above this energy the picture is not a digit.
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


@dataclass(frozen=True)
class Bundle:
    """A LiteRT model, (N, 28, 28, 1) float32 in 0..1 to (N, 10) logits, and what its numbers mean."""

    model: bytes
    manifest: Manifest


def write(model: bytes, manifest: Manifest) -> bytes:
    """Pack a LiteRT model and its manifest; the same arguments give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(asdict(manifest), indent=1, sort_keys=True)
        for name, data in ((MANIFEST_MEMBER, text.encode()), (MODEL_MEMBER, model)):
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data)
    return out.getvalue()


def read(data: bytes, *, sha256: str | None = None) -> Bundle:
    """Unpack and check a bundle.

    Args:
        data: the bundle as `write` made it.
        sha256: what the bundle's sha256 must be, when the caller knows.

    Raises:
        BundleError: missing, not what was recorded, damaged, of an unknown format, or inconsistent.
    """
    if not data:
        raise BundleError("The serving bundle is missing: there are no bytes to load.")
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise BundleError("The serving bundle is not the one that was recorded: its sha256 differs.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if set(members) != {MODEL_MEMBER, MANIFEST_MEMBER}:
                raise BundleError("The serving bundle is damaged: it does not hold one model and one manifest.")
            if any(info.file_size > MAX_MEMBER_BYTES for info in members.values()):
                raise BundleError("The serving bundle is not one of ours: a part of it is far too large.")
            model = archive.read(MODEL_MEMBER)
            manifest = _manifest(json.loads(archive.read(MANIFEST_MEMBER)))
    except BundleError:
        raise
    except Exception as error:  # zipfile alone raises seven kinds of error on damaged input
        raise BundleError(f"The serving bundle is damaged and cannot be read ({error}).") from error
    if hashlib.sha256(model).hexdigest() != manifest.model_sha256:
        raise BundleError("The serving bundle is damaged: its model is not the one its manifest speaks of.")
    return Bundle(model, manifest)


def _manifest(values: object) -> Manifest:
    if not isinstance(values, dict) or "format" not in values:
        raise BundleError("The serving bundle is damaged: its manifest is unreadable.")
    if values["format"] != FORMAT:
        raise BundleError(
            f"The serving bundle has format {values['format']}, this version reads format {FORMAT}: "
            "serve it with the version that made it, or train again."
        )
    names = {field.name for field in fields(Manifest)}
    if set(values) != names:
        wrong = ", ".join(sorted(names ^ set(values)))
        raise BundleError(f"The serving bundle's manifest is missing, or has too many of: {wrong}.")
    for name in ("temperature", "sure_margin", "sure_energy", "refuse_energy"):
        if not isinstance(values[name], int | float) or not math.isfinite(values[name]):
            raise BundleError(f"The serving bundle's manifest has no usable {name}.")
    if values["temperature"] <= 0:
        raise BundleError("The serving bundle's temperature must be greater than zero.")
    return Manifest(**values)


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
