"""Choice of one reading of an image by the energies that the model gives to its readings.

Preprocessing proposes readings (`ml.readings`), the model chooses: a reading that looks more like a digit has a lower
energy. Every kind of further reading has a handicap, so that the plain one is kept unless another is clearly better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.readings import ReadingKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.readings import Reading

# Energy by which a further reading must be below the plain one. Stored in each bundle that is exported.
HANDICAPS: Mapping[str, float] = {
    ReadingKind.PADDED: 0.15,
    ReadingKind.LINES: 0.15,
    ReadingKind.UNMARKED: 0.3,
    ReadingKind.SHEET: 0.3,
    ReadingKind.FILLED: 0.5,
}


def choose_reading(readings: Sequence[Reading], energies: Sequence[float], handicaps: Mapping[str, float]) -> int:
    """Return the index of the reading with the lowest sum of energy and handicap; the first one of equals.

    Args:
        readings: the readings of one image; the plain one has no handicap.
        energies: the energy of each reading; infinite for a blank one.
        handicaps: handicap of each kind of further reading.
    """
    costs = [value + handicaps.get(item.kind, 0.0) for item, value in zip(readings, energies, strict=True)]
    return min(range(len(costs)), key=costs.__getitem__)
