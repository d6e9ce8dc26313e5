"""A site's own training: go on from the champion with what people labelled, and forget nothing.

The site's labels make up at most a quarter of each batch; the rest replays MNIST, digits photographed and drawn by
procedure, and non-digits. `recognizer.services.training` calls it. Everything that shapes a version is a field of its
`SiteRecipe`, which is stored with the version and is part of the fingerprint that finds out whether anything changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ml.data.augmentation import STRONG
from ml.data.disk_cache import Arrays, ProgressCallback, cached, no_progress
from ml.data.mnist import Mnist
from ml.data.outliers import draw_outliers
from ml.data.synthetic_digits import draw_digits
from ml.training.datasets import redraw, simulated_photos
from ml.training.label_noise import NoiseThresholds
from ml.training.loop import DataSource, Recipe, one_hot, uniform_targets
from ml.training.model import CLASSES


@dataclass(frozen=True)
class Pool:
    """Pictures made by procedure: so many are made, and so many of them an epoch takes."""

    made: int
    rows: int

    def __mul__(self, times: int) -> Pool:
        return Pool(self.made * times, self.rows * times)


@dataclass(frozen=True, kw_only=True)
class SiteRecipe(Recipe):
    """How a site trains, beyond `ml.training.loop.Recipe`.

    Attributes:
        along: what is sealed lies between the champion's weights and the trained ones, so far along the way (Wortsman
            et al., "Robust fine-tuning of zero-shot models", 2022). None: there is no champion to begin from.
        replayed: so many MNIST digits an epoch, others each time; None: all of them.
        redrawn, photographed, drawn, non_digits: see `ml.training.datasets`.
        site_share: of each batch, at most so much is the site's.
        repeats: how often one label may come in an epoch, so that the first ten labels of a site are not learned by
            heart.
        doubts: which labels are contested.
        contested_share: of the site's rows, at most so much are contested labels that nobody confirmed.
        site_non_digit_share: of the non-digits' rows, at most so much are the site's own.
    """

    along: float | None = 0.5
    replayed: int | None = 10_000
    redrawn: Pool = Pool(1_200, 1_200)
    photographed: Pool = Pool(1_200, 1_200)
    drawn: Pool = Pool(2_000, 1_600)
    non_digits: Pool = Pool(2_400, 2_000)
    site_share: float = 0.25
    repeats: int = 24
    doubts: NoiseThresholds = field(default_factory=NoiseThresholds)
    contested_share: float = 0.02
    site_non_digit_share: float = 0.25


# Going on from the champion: 20 CPU seconds. Distorted as strongly as the gate's frozen set: three epochs of the base
# recipe's milder distortions forget some of the stronger ones, 0.16 points of that set against 0.05. At 5e-4 and 0.7 of
# the way candidates with nothing to learn lost 2 to 6 of 5,000 validation digits and 0.02 to 0.10 points of distorted
# ones; at 2e-4 and half the way they lose about none, and of what misread writers suffer a quarter is left instead of
# an eighth. The next run goes on from there.
SITE = SiteRecipe(
    "site", epochs=3, learning_rate=2e-4, cosine=True, label_smoothing=0.05, distortion=STRONG, extras=True
)
# From random weights, with all of MNIST and as much more of the rest: a minute and a half of CPU time.
SITE_FROM_SCRATCH = replace(
    SITE, name="site-from-scratch", epochs=10, learning_rate=1e-3, along=None, replayed=None,
    redrawn=SITE.redrawn * 5, photographed=SITE.photographed * 5, drawn=SITE.drawn * 5, non_digits=SITE.non_digits * 5,
)  # fmt: skip
RECIPES = {recipe.name: recipe for recipe in (SITE, SITE_FROM_SCRATCH)}


@dataclass(frozen=True)
class SiteData:
    """What people of this site labelled, (N, 28, 28) uint8 each.

    Attributes:
        images, labels: digits (N,).
        contested: (N,) bool, labels that the champion contradicts with some certainty and nobody confirmed.
        non_digits: pictures that were said to show no digit.
    """

    images: np.ndarray
    labels: np.ndarray
    contested: np.ndarray
    non_digits: np.ndarray = field(default_factory=lambda: np.zeros((0, 28, 28), np.uint8))


def build_site_sources(
    recipe: SiteRecipe, mnist: Mnist, site: SiteData, tell: ProgressCallback = no_progress
) -> list[DataSource]:
    """The training images of a site's run.

    Args:
        recipe: how many of each kind.
        mnist: of which the training images are taken.
        site: what people labelled.
        tell: told what is being drawn, where it was not kept.
    """
    rng = np.random.default_rng([recipe.seed, 4])
    chosen = rng.permutation(len(mnist.train_images))[: recipe.redrawn.made]
    originals = mnist.train_images[chosen]
    pools = recipe.redrawn, recipe.photographed, recipe.drawn, recipe.non_digits

    def draw() -> Arrays:
        tell("drawing digits", 0.0)
        drawn, labels = draw_digits(recipe.drawn.made, recipe.seed)
        tell("drawing what is no digit", 0.1)
        others = draw_outliers(recipe.non_digits.made, recipe.seed)
        tell("photographing digits", 0.3)
        photos = simulated_photos(mnist, drawn, labels, rng, pool=recipe.photographed.made)
        tell("redrawing digits of MNIST", 0.95)
        return {
            "redrawn": redraw(originals, rng), "drawn": drawn, "labels": labels, "non_digits": others,
            "photographed": photos.images, "targets": photos.targets,
        }  # fmt: skip

    made = cached("drawn", draw, recipe.seed, originals, *(pool.made for pool in pools))
    parts = [
        DataSource(mnist.train_images, one_hot(mnist.train_labels), rows=recipe.replayed),
        DataSource(made["redrawn"], one_hot(mnist.train_labels[chosen]), rows=recipe.redrawn.rows),
        DataSource(made["photographed"], made["targets"], rows=recipe.photographed.rows),
        DataSource(made["drawn"], one_hot(made["labels"]), rows=recipe.drawn.rows),
        DataSource(made["non_digits"], uniform_targets(recipe.non_digits.made), rows=recipe.non_digits.rows),
    ]
    return parts + _site_parts(recipe, site, sum(part.size for part in parts))


def _site_parts(recipe: SiteRecipe, site: SiteData, others: int) -> list[DataSource]:
    """The site's own, beside so many `others`."""
    budget = round(others * recipe.site_share / (1 - recipe.site_share))
    contested_budget = round(budget * recipe.contested_share)
    sure = ~site.contested
    parts = _balanced(site.images[sure], site.labels[sure], budget - contested_budget, recipe.repeats)
    parts += _balanced(site.images[site.contested], site.labels[site.contested], contested_budget, recipe.repeats)
    if n := len(site.non_digits):
        rows = min(n * recipe.repeats, round(recipe.non_digits.rows * recipe.site_non_digit_share))
        parts.append(DataSource(site.non_digits, uniform_targets(n), rows=rows))
    return parts


def _balanced(images: np.ndarray, labels: np.ndarray, budget: int, repeats: int) -> list[DataSource]:
    """One part for each digit that is there, of equal size as far as the repeats allow."""
    parts = []
    for digit in range(CLASSES):
        rows = labels == digit
        if n := int(rows.sum()):
            parts.append(DataSource(images[rows], one_hot(labels[rows]), rows=min(n * repeats, budget // CLASSES)))
    return [part for part in parts if part.size]


def interpolate_weights(before: Sequence[np.ndarray], after: Sequence[np.ndarray], along: float) -> list[np.ndarray]:
    """Weights `along` the way from the champion's to the trained ones; each list as Keras gives and takes it."""
    return [along * new + (1 - along) * old for old, new in zip(before, after, strict=True)]
