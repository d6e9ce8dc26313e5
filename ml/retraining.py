"""A site's own training: go on from the champion with what people labelled, and forget nothing.

The site's labels make up at most a quarter of each batch; the rest replays MNIST, digits photographed and drawn by
procedure, and non-digits. Also the frozen sets on which the gate compares. `recognizer.services.retraining` calls it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ml.augmentation import STRONG, augment
from ml.classifier import Classifier
from ml.gate import NON_DIGIT_TOLERANCE, Check, Pictures
from ml.kept import Arrays, kept
from ml.mixture import build_checks, photographed, redraw
from ml.mnist import Mnist
from ml.model import CLASSES
from ml.nondigits import draw_non_digits
from ml.procedural import SHAPES, draw_digits, write_by_hand
from ml.report import Checks
from ml.training import Part, Recipe, one_hot, uniform_targets

# Going on from the champion: 15 CPU seconds. Distorted as strongly as the gate's frozen set: three epochs of the base
# recipe's milder distortions forget some of the stronger ones, 0.16 points of that set against 0.05.
SITE = Recipe("site", epochs=3, learning_rate=5e-4, cosine=True, label_smoothing=0.05, distortion=STRONG, extras=True)
# From random weights, with all of MNIST: a minute and a half of CPU time.
SITE_FROM_SCRATCH = replace(SITE, name="site-from-scratch", epochs=10, learning_rate=1e-3)

# What is sealed lies between the champion's weights and the trained ones, so far along the way (Wortsman et al.,
# "Robust fine-tuning of zero-shot models", 2022). Measured on writers who were misread: at the end of the way their
# other digits are read at 99.15 % and distorted ones 0.17 points worse than before; here, 98.95 % and 0.08.
ALONG = 0.7
REPLAYED = 10_000
REDRAWN_POOL, REDRAWN_ROWS = 1_200, 1_200
PHOTOGRAPHED_POOL, PHOTOGRAPHED_ROWS = 1_200, 1_200
DRAWN_POOL, DRAWN_ROWS = 2_000, 1_600
NON_DIGIT_POOL, NON_DIGIT_ROWS = 2_400, 2_000
# The site's share of each batch, at most; and how often one label may come in an epoch, so that the first ten labels
# of a site are not learned by heart.
SITE_SHARE = 0.25
REPEATS = 24
# A label is contested when the champion is at least so certain of another digit. Of right corrections by writers whom
# it misreads a quarter is; of labels that call 1s 7 and 7s 1 three quarters. Sure answers alone would find half.
CONTESTED_CERTAINTY = 0.6
# Of the site's rows, at most this share are contested labels that nobody confirmed.
CONTESTED_SHARE = 0.02
# From so many contradictions of one kind on, and such a share of them certain, all of that kind are contested.
FEWEST_OF_A_KIND, MOSTLY = 3, 0.5
# From so many certain ones on, or such a share of all labels where that is more, somebody must look at them again
# before anything that was trained beside them goes live.
FEWEST_SUSPICIOUS, SUSPICIOUS_SHARE = 5, 0.008
# A kind lies apart where so many of the nearest neighbours of its pictures, on average, bear the same label, and so
# much of what the champion reads as that digit is labelled so. Measured with 1,000 labels (groups 100 to 114 of
# `bench.writers`): honest kinds of leaning writers 0.94 (median), of turning ones 0.97, one in ten of these below 0.75;
# 30 % of 1s and 7s swapped 0.4, 60 % swapped 0.57, of all at most 0.75.
NEIGHBOURS, LIES_APART, READ_RIGHT = 3, 0.75, 0.55
# Of the non-digit rows, at most this share are the site's own.
SITE_NON_DIGIT_SHARE = 0.25

FROZEN = 20_240_611  # the frozen sets never change with a seed, or figures of versions could not be compared
DISTORTIONS = 4
DRAWN_EACH = 400
PHOTOGRAPHS, PHOTOGRAPH_TOLERANCE = 1_000, 0.003


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


def build_site_parts(recipe: Recipe, mnist: Mnist, site: SiteData) -> list[Part]:
    """The training images of a site's run; all of MNIST when the recipe starts from scratch."""
    rng = np.random.default_rng([recipe.seed, 4])
    everything = recipe.name == SITE_FROM_SCRATCH.name
    times = len(mnist.train_images) // REPLAYED if everything else 1
    chosen = rng.permutation(len(mnist.train_images))[: REDRAWN_POOL * times]
    originals, drawn_n, others_n = mnist.train_images[chosen], DRAWN_POOL * times, NON_DIGIT_POOL * times
    photos_n = PHOTOGRAPHED_POOL * times

    def draw() -> Arrays:
        drawn, labels = draw_digits(drawn_n, recipe.seed)
        others = draw_non_digits(others_n, recipe.seed)
        photos = photographed(mnist, drawn, labels, rng, pool=photos_n)
        return {
            "redrawn": redraw(originals, rng), "drawn": drawn, "labels": labels, "non_digits": others,
            "photographed": photos.images, "targets": photos.targets,
        }  # fmt: skip

    pools = kept("drawn", draw, recipe.seed, originals, drawn_n, others_n, photos_n)
    parts = [
        Part(mnist.train_images, one_hot(mnist.train_labels), rows=None if everything else REPLAYED),
        Part(pools["redrawn"], one_hot(mnist.train_labels[chosen]), rows=REDRAWN_ROWS * times),
        Part(pools["photographed"], pools["targets"], rows=PHOTOGRAPHED_ROWS * times),
        Part(pools["drawn"], one_hot(pools["labels"]), rows=DRAWN_ROWS * times),
        Part(pools["non_digits"], uniform_targets(others_n), rows=NON_DIGIT_ROWS * times),
    ]
    budget = round(sum(part.size for part in parts) * SITE_SHARE / (1 - SITE_SHARE))
    return parts + _site_parts(site, budget, NON_DIGIT_ROWS * times)


def _site_parts(site: SiteData, budget: int, non_digit_rows: int) -> list[Part]:
    contested_budget = round(budget * CONTESTED_SHARE)
    parts = _balanced(site.images[~site.contested], site.labels[~site.contested], budget - contested_budget)
    parts += _balanced(site.images[site.contested], site.labels[site.contested], contested_budget)
    if n := len(site.non_digits):
        rows = min(n * REPEATS, round(non_digit_rows * SITE_NON_DIGIT_SHARE))
        parts.append(Part(site.non_digits, uniform_targets(n), rows=rows))
    return parts


def _balanced(images: np.ndarray, labels: np.ndarray, budget: int) -> list[Part]:
    """One part for each digit that is there, of equal size as far as the repeats allow."""
    parts = []
    for digit in range(CLASSES):
        rows = labels == digit
        if n := int(rows.sum()):
            parts.append(Part(images[rows], one_hot(labels[rows]), rows=min(n * REPEATS, budget // CLASSES)))
    return [part for part in parts if part.size]


def between(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Weights between the champion's and the trained ones, `ALONG` the way; each list as Keras gives and takes it."""
    return [ALONG * new + (1 - ALONG) * old for old, new in zip(before, after, strict=True)]


@dataclass(frozen=True)
class Kind:
    """Labels of one kind that contradict the champion: "it reads 1, the label says 7".

    Attributes:
        guess, label: the digits.
        rows: their numbers.
        certain: (len(rows),) bool, where the champion is rather certain.
        lies_apart: whether they look like each other and unlike what is labelled as the champion reads it.
    """

    guess: int
    label: int
    rows: np.ndarray
    certain: np.ndarray
    lies_apart: bool

    @property
    def is_mostly_certain(self) -> bool:
        return len(self.rows) >= FEWEST_OF_A_KIND and bool(self.certain.mean() >= MOSTLY)


def contested(champion: Classifier, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) bool: labels that the champion contradicts with some certainty, or that are of a kind which it mostly does.

    Of a rogue reviewer's labels the champion contradicts most with certainty, of honest corrections a quarter; so a
    kind that it mostly does contradict is contested whole. A kind that lies apart is not contested at all: then it is
    the champion that takes one handwriting for another.
    """
    found = np.zeros(len(labels), bool)
    for kind in _kinds(champion, images, labels):
        if not kind.lies_apart:
            found[kind.rows] = True if kind.is_mostly_certain else kind.certain
    return found


def suspicions(
    champion: Classifier, images: np.ndarray, labels: np.ndarray, confirmed: np.ndarray | None = None
) -> list[Check]:
    """One failed check for each kind of label that looks like somebody's aim.

    Args:
        champion: of the live version.
        images, labels: all that train.
        confirmed: (N,) bool, those that a second look confirmed; they are no sign of an aim.
    """
    checks = []
    unconfirmed = np.ones(len(labels), bool) if confirmed is None else ~confirmed
    fewest = max(FEWEST_SUSPICIOUS, unconfirmed.sum() * SUSPICIOUS_SHARE)
    for kind in _kinds(champion, images, labels):
        certain = kind.certain[unconfirmed[kind.rows]]
        if not kind.lies_apart and certain.sum() >= fewest and certain.mean() >= MOSTLY:
            title = f"Labels that call {kind.label} what the live model is rather certain is {kind.guess}"
            name, n, lost = f"labels.{kind.guess}.{kind.label}", len(certain), int(certain.sum())
            checks.append(Check(name, title, "labels", passed=False, n=n, lost=lost))
    return checks


def _kinds(champion: Classifier, images: np.ndarray, labels: np.ndarray) -> list[Kind]:
    said = champion.answer(images)
    guess = np.array([one.digit for one in said], np.int64)
    certain = np.array([one.certainty for one in said]) >= CONTESTED_CERTAINTY
    wanted = labels.astype(np.int64)
    number = guess * CLASSES + wanted
    looks = _looks(images)
    kinds = []
    for one in np.unique(number[guess != wanted]).tolist():
        rows, (read, label) = np.flatnonzero(number == one), divmod(one, CLASSES)
        kinds.append(Kind(read, label, rows, certain[rows], _lies_apart(looks, guess, wanted, rows)))
    return kinds


def _lies_apart(looks: np.ndarray, guess: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> bool:
    """Whether the neighbours of these labels bear them out.

    Writers whose 7 the champion takes for a 1 write all of their 7s so, and their 1s otherwise: of all that is
    labelled 1 or 7 the pictures most like such a 7 are 7s. Where somebody calls some of the 1s 7, the pictures most
    like them are other 1s. And should somebody call most of them 7, most of what reads 1 is labelled otherwise.
    """
    read, label = guess[rows[0]], labels[rows[0]]
    if len(rows) < FEWEST_OF_A_KIND or (labels[guess == read] == read).mean() < READ_RIGHT:
        return False
    either = np.flatnonzero((labels == read) | (labels == label))
    likeness = looks[rows] @ looks[either].T
    likeness[rows[:, None] == either] = -np.inf  # nobody is their own witness
    nearest = either[np.argsort(-likeness, axis=1)[:, :NEIGHBOURS]]
    return bool((labels[nearest] == label).mean() >= LIES_APART)


def _looks(images: np.ndarray) -> np.ndarray:
    """(N, 196) float32 of length 1, blurred and halved: a pixel's shift is no difference."""
    if not len(images):
        return np.zeros((0, 196), np.float32)
    small = [cv2.resize(cv2.GaussianBlur(one, (0, 0), 1.5), (14, 14), interpolation=cv2.INTER_AREA) for one in images]
    looks = np.stack(small).reshape(len(images), -1).astype(np.float32)
    return looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1)


def site_checks(mnist: Mnist) -> Checks:
    """`ml.mixture.build_checks`, drawn once and kept."""

    def draw() -> Arrays:
        drawn = build_checks(mnist)
        return {"images": drawn.distorted[0], "labels": drawn.distorted[1], "non_digits": drawn.non_digits}

    arrays = kept("checks", draw, mnist.validation_images)
    return Checks(
        validation=(mnist.validation_images, mnist.validation_labels),
        distorted=(arrays["images"], arrays["labels"]),
        non_digits=arrays["non_digits"],
        test=(mnist.test_images, mnist.test_labels),
    )


def gate_sets(checks: Checks) -> list[Pictures]:
    """The clean, frozen sets of the gate. No label of the site reaches them, so neither does poison.

    Photographed: validation digits on simulated paper as our preprocessing brings them back, which retraining must not
    forget to read. Distorted: every validation digit in four distortions, and 400 drawn digits of each kind; the
    shapes that MNIST hardly knows are there as often as the others, because retraining endangers them most.
    """
    images, labels = checks.validation
    n, drawn_n = len(images), DRAWN_EACH * CLASSES

    def draw() -> Arrays:
        rng = np.random.default_rng(FROZEN)
        drawn, drawn_labels = draw_balanced(DRAWN_EACH, FROZEN)
        unseen = Mnist(images, labels, images, labels, *checks.test)
        photos = photographed(unseen, drawn, drawn_labels, np.random.default_rng([FROZEN, 6]), pool=PHOTOGRAPHS)
        return {
            "images": np.concatenate([*(augment(images, rng, STRONG) for _ in range(DISTORTIONS)), drawn]),
            "labels": np.concatenate([np.tile(labels, DISTORTIONS), drawn_labels]),
            "photographs": photos.images,
            "photographed": photos.targets.argmax(axis=1).astype(np.uint8),
        }

    hard = kept("gate", draw, images, labels, DISTORTIONS, DRAWN_EACH, PHOTOGRAPHS)
    clusters = np.concatenate([np.tile(np.arange(n), DISTORTIONS), n + np.arange(drawn_n)])
    return [
        Pictures("validation", "MNIST validation", images, labels),
        Pictures("distorted", "Distorted and drawn digits", hard["images"], hard["labels"], clusters),
        Pictures(
            "photographed",
            "Photographed digits",
            hard["photographs"],
            hard["photographed"],
            tolerance=PHOTOGRAPH_TOLERANCE,
            per_digit=False,
            calibration=False,
        ),
        Pictures("non_digits", "Non-digits refused", checks.non_digits, None, tolerance=NON_DIGIT_TOLERANCE),
    ]


def draw_balanced(each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`each` procedurally drawn pictures of every digit: (10 * each, 28, 28) uint8 and (10 * each,) uint8."""
    from ml.preprocessing import prepare_strokes

    rng = np.random.default_rng([seed, 5])
    labels = np.repeat(np.arange(CLASSES, dtype=np.uint8), each)
    images = np.empty((len(labels), 28, 28), np.uint8)
    for i, digit in enumerate(labels):
        shapes = SHAPES[int(digit)]
        images[i] = prepare_strokes(write_by_hand(shapes[rng.integers(len(shapes))](rng), rng)).pixels
    return images, labels


def fingerprint(sets: list[Pictures]) -> str:
    """Of the frozen sets: figures of two versions are comparable when both were measured on the same ones."""
    digest = hashlib.sha256()
    for one in sets:
        digest.update(one.name.encode() + one.images.tobytes())
        if one.labels is not None:
            digest.update(one.labels.tobytes())
    return digest.hexdigest()
