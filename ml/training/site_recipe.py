"""Training recipe of a site: continue from the champion with the site's labels, without forgetting.

About a quarter of each epoch is the site's labelled images; the rest replays MNIST, simulated photographs, synthetic
digits and non-digits. Everything that determines a version is a field of its `SiteRecipe`, which is stored with the
version and is part of the fingerprint that shows whether anything has changed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.data.altered_digits import alter_digits
from ml.data.augmentation import STRONG
from ml.data.disk_cache import Arrays, ProgressCallback, cached, no_progress
from ml.data.outliers import draw_outliers
from ml.data.synthetic_digits import draw_digits
from ml.evaluation.metrics import CLASSES
from ml.training.datasets import redraw, simulated_photos
from ml.training.label_noise import NoiseThresholds
from ml.training.loop import DataSource, Recipe, one_hot, uniform_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.mnist import Mnist

# Keys of stored recipes that differ from the field names of `SiteRecipe` and its parts. The fingerprint of a run is a
# hash of its stored recipe, so the keys must not change.
STORED_KEYS = {
    "interpolation": "along",
    "replay_rows": "replayed",
    "size": "made",
    "max_repeats": "repeats",
    "noise_thresholds": "doubts",
    "min_group_size": "fewest_of_a_kind",
    "certain_share": "mostly",
    "min_neighbour_share": "lies_apart",
    "min_agreement": "read_right",
}


@dataclass(frozen=True)
class Pool:
    """A pool of generated images.

    Attributes:
        size: number of images in the pool.
        rows: number of images in each epoch.
    """

    size: int
    rows: int

    def __mul__(self, times: int) -> Pool:
        return Pool(self.size * times, self.rows * times)


@dataclass(frozen=True, kw_only=True)
class SiteRecipe(Recipe):
    """Hyper-parameters of a site's training, in addition to `ml.training.loop.Recipe`.

    Attributes:
        interpolation: weight alpha of the trained model in the interpolation with the champion (WiSE-FT: Wortsman
            et al., "Robust fine-tuning of zero-shot models", 2022). None: train from random weights.
        replay_rows: number of MNIST digits in each epoch, drawn at random; None: all of them.
        redrawn: pool of MNIST digits of which one half is redrawn and the other altered, see `ml.training.datasets`.
        photographed: pool of simulated photographs.
        drawn: pool of synthetic digits.
        non_digits: pool of non-digits.
        site_share: largest share of the site's images in an epoch.
        max_repeats: largest number of repetitions of one label in an epoch; it keeps the model from overfitting the
            first labels of a site.
        noise_thresholds: decide which labels are contested.
        contested_share: largest share of contested labels among the site's images.
        site_non_digit_share: largest share of the site's own images among the non-digits.
    """

    interpolation: float | None = 0.5
    replay_rows: int | None = 10_000
    redrawn: Pool = Pool(1_200, 1_200)
    photographed: Pool = Pool(1_200, 1_200)
    drawn: Pool = Pool(2_000, 1_600)
    non_digits: Pool = Pool(2_400, 2_000)
    site_share: float = 0.25
    max_repeats: int = 24
    noise_thresholds: NoiseThresholds = field(default_factory=NoiseThresholds)
    contested_share: float = 0.02
    site_non_digit_share: float = 0.25

    @property
    def stored_form(self) -> dict[str, Any]:
        """The recipe as JSON. `STORED_KEYS` keeps the keys that stored recipes use."""
        recipe: dict[str, Any] = _rename_keys(asdict(self))
        return recipe


def _rename_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {STORED_KEYS.get(key, key): _rename_keys(item) for key, item in value.items()}
    return value


# Continue from the champion: 20 CPU seconds. The distortion is as strong as in the gate's frozen set: with the milder
# distortion of the base recipe, three epochs lose 0.16 points on that set instead of 0.05. At a learning rate of 5e-4
# and alpha 0.7, candidates without new information lost 2 to 6 of 5,000 validation digits and 0.02 to 0.10 points on
# distorted ones. At 2e-4 and alpha 0.5 they lose about none, and a quarter instead of an eighth of the errors on
# misread writers remains; the next run continues from there.
SITE = SiteRecipe(
    "site", epochs=3, learning_rate=2e-4, cosine=True, label_smoothing=0.05, distortion=STRONG, extras=True
)
# Train from random weights, with all of MNIST and five times as many images from the pools: 90 CPU seconds.
SITE_FROM_SCRATCH = replace(
    SITE, name="site-from-scratch", epochs=10, learning_rate=1e-3, interpolation=None, replay_rows=None,
    redrawn=SITE.redrawn * 5, photographed=SITE.photographed * 5, drawn=SITE.drawn * 5, non_digits=SITE.non_digits * 5,
)  # fmt: skip
RECIPES = {recipe.name: recipe for recipe in (SITE, SITE_FROM_SCRATCH)}


@dataclass(frozen=True)
class SiteData:
    """Labelled images of a site. Images are (N, 28, 28) uint8.

    Attributes:
        images: images of digits.
        labels: (N,) their labels.
        contested: (N,) bool, labels that the champion contradicts with certainty and no second review confirmed.
        non_digits: images that were labelled as non-digits.
    """

    images: np.ndarray
    labels: np.ndarray
    contested: np.ndarray
    non_digits: np.ndarray = field(default_factory=lambda: np.zeros((0, 28, 28), np.uint8))


def build_site_sources(
    recipe: SiteRecipe, mnist: Mnist, site: SiteData, on_progress: ProgressCallback = no_progress
) -> list[DataSource]:
    """Build the training data of a run.

    Args:
        recipe: determines the number of images of each source.
        mnist: the MNIST data.
        site: the labelled images of the site.
        on_progress: called while images are drawn that are not cached.
    """
    rng = np.random.default_rng([recipe.seed, 4])
    rows = rng.permutation(len(mnist.train_images))[: recipe.redrawn.size]
    originals = mnist.train_images[rows]
    pools = recipe.redrawn, recipe.photographed, recipe.drawn, recipe.non_digits

    def draw() -> Arrays:
        on_progress("drawing digits", 0.0)
        drawn, labels = draw_digits(recipe.drawn.size, recipe.seed)
        on_progress("drawing non-digits", 0.1)
        non_digits = draw_outliers(recipe.non_digits.size, recipe.seed)
        on_progress("photographing digits", 0.3)
        photos = simulated_photos(
            mnist.train_images, mnist.train_labels, drawn, labels, rng, pool=recipe.photographed.size
        )
        on_progress("redrawing digits of MNIST", 0.95)
        half = len(originals) // 2
        redrawn = np.concatenate([redraw(originals[:half], rng), alter_digits(originals[half:], rng)])
        return {
            "redrawn": redrawn, "drawn": drawn, "labels": labels, "non_digits": non_digits,
            "photographed": photos.images, "targets": photos.targets,
        }  # fmt: skip

    arrays = cached("drawn", draw, recipe.seed, originals, *(pool.size for pool in pools))
    sources = [
        DataSource(mnist.train_images, one_hot(mnist.train_labels), rows=recipe.replay_rows),
        DataSource(arrays["redrawn"], one_hot(mnist.train_labels[rows]), rows=recipe.redrawn.rows),
        DataSource(arrays["photographed"], arrays["targets"], rows=recipe.photographed.rows),
        DataSource(arrays["drawn"], one_hot(arrays["labels"]), rows=recipe.drawn.rows),
        DataSource(arrays["non_digits"], uniform_targets(recipe.non_digits.size), rows=recipe.non_digits.rows),
    ]
    return sources + _site_sources(recipe, site, sum(source.size for source in sources))


def _site_sources(recipe: SiteRecipe, site: SiteData, other_rows: int) -> list[DataSource]:
    """Return the sources of the site's own images, given the number of other images in an epoch."""
    budget = round(other_rows * recipe.site_share / (1 - recipe.site_share))
    contested_budget = round(budget * recipe.contested_share)
    accepted = ~site.contested
    sources = _balanced(site.images[accepted], site.labels[accepted], budget - contested_budget, recipe.max_repeats)
    sources += _balanced(site.images[site.contested], site.labels[site.contested], contested_budget, recipe.max_repeats)
    if n := len(site.non_digits):
        rows = min(n * recipe.max_repeats, round(recipe.non_digits.rows * recipe.site_non_digit_share))
        sources.append(DataSource(site.non_digits, uniform_targets(n), rows=rows))
    return sources


def _balanced(images: np.ndarray, labels: np.ndarray, budget: int, max_repeats: int) -> list[DataSource]:
    """Return one source for each digit, of equal size as far as `max_repeats` allows."""
    sources = []
    for digit in range(CLASSES):
        rows = labels == digit
        if n := int(rows.sum()):
            sources.append(
                DataSource(images[rows], one_hot(labels[rows]), rows=min(n * max_repeats, budget // CLASSES))
            )
    return [source for source in sources if source.size]


def interpolate_weights(before: Sequence[np.ndarray], after: Sequence[np.ndarray], alpha: float) -> list[np.ndarray]:
    """Interpolate linearly between the champion's and the trained weights.

    Args:
        before: weights of the champion, as returned by Keras' `get_weights`.
        after: weights of the trained model.
        alpha: weight of the trained model, 0..1.
    """
    return [alpha * new + (1 - alpha) * old for old, new in zip(before, after, strict=True)]
