"""Labelled evaluation sets: the one form in which calibration, metrics, training and the gate receive them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.readings import Reading

NO_LABELS = np.zeros(0, np.uint8)


class Role(Enum):
    """Purpose of an evaluation set. `ml.evaluation.gate.RULES` has the rule of the gate for each role."""

    # The MNIST test set: its metrics are reported and decide nothing.
    REPORT = auto()
    # Digits that never change and contain no labels of the site.
    FROZEN = auto()
    FROZEN_PHOTOGRAPHS = auto()
    # Images that must be rejected.
    NON_DIGITS = auto()
    # Settled digits of the site that are reserved for evaluation, and those of them from one source.
    HOLDOUT = auto()
    HOLDOUT_SOURCE = auto()


@dataclass(frozen=True)
class EvalDataset:
    """An evaluation set.

    Attributes:
        name: identifier, such as "validation".
        title: display name, such as "MNIST validation".
        images: (N, 28, 28) uint8.
        labels: (N,) digits; empty if all images are non-digits.
        role: purpose of the set.
        clusters: (N,) number of the original image of each image; copies of one original are not independent
            evidence. None: every image is its own original.
        readings: the readings of each image, of which the evaluated model chooses one; `images` are the plain ones.
            None: there are no others.
    """

    name: str
    title: str
    images: np.ndarray
    labels: np.ndarray
    role: Role = Role.FROZEN
    clusters: np.ndarray | None = None
    readings: Sequence[Sequence[Reading]] | None = None

    @property
    def has_digits(self) -> bool:
        """True unless all images are non-digits."""
        return self.role != Role.NON_DIGITS

    @property
    def originals(self) -> np.ndarray:
        """(N,) number of the original image of each image."""
        return np.arange(len(self.images)) if self.clusters is None else self.clusters
