"""Readings: the alternative 28x28 inputs that preprocessing derives from one image; the classifier chooses one.

Importable without OpenCV, as `ml.versions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ml.versions import SIDE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

# Maximum number of readings of one image, the plain one included.
MAX_READINGS = 4


class ReadingKind(StrEnum):
    """Derivation of a reading. Stored in the database and in serving bundles: values never change."""

    PLAIN = "plain"  # the ordinary segmentation
    PADDED = "padded"  # background added around an image whose ink touches the edge
    LINES = "lines"  # straight lines kept, where the plain reading removed them as ruling
    UNMARKED = "unmarked"  # without a frame, a circle or an underline
    SHEET = "sheet"  # the sheet of paper found in the image
    FILLED = "filled"  # the inside of an outlined digit filled


@dataclass(frozen=True)
class Reading:
    """One input of the model for an image.

    Attributes:
        kind: how it was derived.
        pixels: (28, 28) uint8, white ink on black.
        ink: the image features of this reading; see `ml.preprocessing.Prepared`.
    """

    kind: ReadingKind
    pixels: npt.NDArray[np.uint8]
    ink: Mapping[str, float | int | bool] = field(default_factory=dict)


def encode_further(readings: Sequence[Reading]) -> tuple[bytes, list[dict[str, Any]]]:
    """Encode all readings of an image but the plain one, for `decode_readings`.

    Args:
        readings: the readings; the first is the plain one.

    Returns:
        Their pixels, 784 bytes each, and for each its image features with its `kind`, JSON-serializable.
    """
    further = readings[1:]
    ink = [{**reading.ink, "kind": reading.kind.value} for reading in further]
    return b"".join(reading.pixels.tobytes() for reading in further), ink


def decode_readings(
    pixels: bytes,
    ink: Mapping[str, Any],
    further_pixels: bytes = b"",
    further_ink: Sequence[Mapping[str, Any]] = (),
) -> list[Reading]:
    """Decode the readings of an image.

    Args:
        pixels: 784 bytes of the plain reading, row by row.
        ink: image features of the plain reading.
        further_pixels: from `encode_further`.
        further_ink: from `encode_further`.

    Returns:
        The readings; the first is the plain one.

    Raises:
        ValueError: the number of bytes does not fit, or a kind is unknown.
    """
    import numpy as np  # 10 MB that processes without pixels do not need

    images = np.frombuffer(pixels + further_pixels, np.uint8).reshape(1 + len(further_ink), SIDE, SIDE)
    further = zip(further_ink, images[1:], strict=True)
    return [
        Reading(ReadingKind.PLAIN, images[0], ink),
        *(Reading(ReadingKind(features["kind"]), image, features) for features, image in further),
    ]
