"""Readings: the alternative 28x28 inputs that preprocessing derives from one image; the classifier chooses one.

Importable without OpenCV, as `ml.versions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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
