"""Data augmentation: mild, fast distortions of 28x28 digits that are frequent in handwriting but rare in MNIST.

Each training epoch gets its own distorted copies. The distortions are rotation, scale, shear, shift, an elastic warp,
and the thickness and brightness of the stroke. All images of a chunk form one mosaic, which a single `cv2.remap`
distorts, without a Python loop over images. Write a sheet of examples with

    python -m ml.data.augmentation sheet.png
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import cv2
import numpy as np

from ml.versions import SIDE

# Images per mosaic. The maps of this size (about 6 MB) stay in the processor's cache; one mosaic of MNIST is slower.
COLUMNS = 32
CHUNK = COLUMNS * 32
# Width of the cells of the elastic warp in pixels; the displacement of their corners is interpolated.
ELASTIC_CELL = 7


@dataclass(frozen=True)
class Distortion:
    """Strength of the distortions. Each value is drawn uniformly from plus or minus its limit.

    Attributes:
        rotation: in degrees.
        scale: relative, for each axis separately and for both together.
        shear: relative.
        shift: in pixels.
        elastic: standard deviation of the displacement at the corners of the cells, in pixels.
        thicken: share of images whose strokes become thicker, by up to about one pixel on each side.
        thin: share of images whose strokes become thinner, by up to about half a pixel.
        fade: the factor of the ink's brightness is at least 1 minus this.
        steepen: the factor of the ink's brightness is at most 1 plus this. Clipping makes the edges of strokes steeper.
    """

    rotation: float = 12.0
    scale: float = 0.10
    shear: float = 0.20
    shift: float = 1.2
    elastic: float = 0.55
    thicken: float = 0.25
    thin: float = 0.20
    fade: float = 0.2
    steepen: float = 0.6


MILD = Distortion()
STRONG = Distortion(rotation=15.0, scale=0.15, shear=0.25, shift=1.5, elastic=0.7, thicken=0.3, thin=0.2)


def augment(images: np.ndarray, rng: np.random.Generator, distortion: Distortion = MILD) -> np.ndarray:
    """Distort each image with its own random parameters.

    Args:
        images: (N, 28, 28) uint8, white ink on black.
        rng: source of all randomness; the same state gives the same result.
        distortion: strength of the distortions.

    Returns:
        (N, 28, 28) uint8, a new array.
    """
    out = np.empty_like(images)
    for start in range(0, len(images), CHUNK):
        out[start : start + CHUNK] = _augment_chunk(images[start : start + CHUNK], rng, distortion)
    return out


def _augment_chunk(images: np.ndarray, rng: np.random.Generator, distortion: Distortion) -> np.ndarray:
    n = len(images)
    rows = -(-n // COLUMNS)
    tiles = np.zeros((rows * COLUMNS, SIDE, SIDE), np.uint8)
    tiles[:n] = images
    map_x, map_y = _build_maps(rows, rng, distortion)
    mosaic = cv2.remap(_join_tiles(tiles), map_x, map_y, cv2.INTER_LINEAR)
    return _vary_strokes(_split_mosaic(mosaic), rng, distortion)[:n]


def _join_tiles(tiles: np.ndarray) -> np.ndarray:
    """Join (rows * COLUMNS, 28, 28) tiles to one (rows * 28, COLUMNS * 28) image."""
    grid = tiles.reshape(-1, COLUMNS, SIDE, SIDE)
    return np.ascontiguousarray(grid.swapaxes(1, 2)).reshape(-1, COLUMNS * SIDE)


def _split_mosaic(mosaic: np.ndarray) -> np.ndarray:
    """Split a mosaic into (rows * COLUMNS, 28, 28) tiles; the inverse of `_join_tiles`."""
    grid = mosaic.reshape(-1, SIDE, COLUMNS, SIDE)
    return np.ascontiguousarray(grid.swapaxes(1, 2)).reshape(-1, SIDE, SIDE)


def _build_maps(rows: int, rng: np.random.Generator, distortion: Distortion) -> tuple[np.ndarray, np.ndarray]:
    """Build the maps of `cv2.remap`: the source x and y of each pixel, two float32 arrays of the mosaic's shape."""

    def uniform(limit: float) -> np.ndarray:
        return rng.uniform(-limit, limit, (rows, 1, COLUMNS, 1)).astype(np.float32)

    angle = np.deg2rad(uniform(distortion.rotation))
    zoom = uniform(distortion.scale)
    zoom_x, zoom_y = 1 + zoom + uniform(distortion.scale / 2), 1 + zoom + uniform(distortion.scale / 2)
    shear = uniform(distortion.shear)
    shift_x, shift_y = uniform(distortion.shift), uniform(distortion.shift)
    cos, sin = np.cos(angle), np.sin(angle)

    middle = (SIDE - 1) / 2
    axis = np.arange(SIDE, dtype=np.float32)
    y = (axis - middle).reshape(1, SIDE, 1, 1)
    x = (axis - middle).reshape(1, 1, 1, SIDE)
    warp = [_draw_displacement(rows, rng, distortion.elastic) for _ in range(2)]
    # The inverse transformation (scale, shear, then rotation): the source of each pixel, within its own tile.
    from_x = (cos * zoom_x + shear * sin) * x + (shear * cos - sin * zoom_x) * y + (middle + shift_x) + warp[0]
    from_y = (sin * zoom_y) * x + (cos * zoom_y) * y + (middle + shift_y) + warp[1]
    # Stay within the tile, whose edge is black.
    np.clip(from_x, 0, SIDE - 1, out=from_x)
    np.clip(from_y, 0, SIDE - 1, out=from_y)
    from_x += (np.arange(COLUMNS, dtype=np.float32) * SIDE).reshape(1, 1, COLUMNS, 1)
    from_y += (np.arange(rows, dtype=np.float32) * SIDE).reshape(rows, 1, 1, 1)
    shape = (rows * SIDE, COLUMNS * SIDE)
    return from_x.reshape(shape), from_y.reshape(shape)


def _draw_displacement(rows: int, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Draw a smooth random displacement, (rows, 28, COLUMNS, 28) float32."""
    cells = SIDE // ELASTIC_CELL
    coarse = rng.standard_normal((rows * cells, COLUMNS * cells), np.float32) * np.float32(strength)
    fine = cv2.resize(coarse, (COLUMNS * SIDE, rows * SIDE), interpolation=cv2.INTER_CUBIC)
    return fine.reshape(rows, SIDE, COLUMNS, SIDE)


def _vary_strokes(tiles: np.ndarray, rng: np.random.Generator, distortion: Distortion) -> np.ndarray:
    """Vary the thickness and brightness of the ink. The thickness is changed by blending with a morphed copy."""
    n = len(tiles)
    change = rng.random(n)
    amount = rng.random(n, np.float32).reshape(-1, 1, 1)
    values = tiles.astype(np.float32)
    thick = change < distortion.thicken
    thin = change > 1 - distortion.thin
    for selected, morph, limit in ((thick, _dilate, 1.0), (thin, _erode, 0.8)):
        morphed = morph(tiles[selected]).astype(np.float32)
        values[selected] += (morphed - values[selected]) * (amount[selected] * limit)
    values *= rng.uniform(1 - distortion.fade, 1 + distortion.steepen, (n, 1, 1)).astype(np.float32)
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8)


def _dilate(tiles: np.ndarray) -> np.ndarray:
    """Set each pixel to the maximum of itself and its four neighbours in the same tile."""
    out = tiles.copy()
    np.maximum(out[:, 1:], tiles[:, :-1], out=out[:, 1:])
    np.maximum(out[:, :-1], tiles[:, 1:], out=out[:, :-1])
    np.maximum(out[:, :, 1:], tiles[:, :, :-1], out=out[:, :, 1:])
    np.maximum(out[:, :, :-1], tiles[:, :, 1:], out=out[:, :, :-1])
    return out


def _erode(tiles: np.ndarray) -> np.ndarray:
    """Set each pixel to the minimum of itself and its four neighbours in the same tile."""
    return 255 - _dilate(255 - tiles)


def main() -> None:
    """Write a sheet of distorted digits to the file in the first command line argument."""
    from ml.data.mnist import load_mnist

    images = load_mnist().train_images[: 8 * COLUMNS]
    sheet = _join_tiles(augment(images, np.random.default_rng(1)))
    cv2.imwrite(sys.argv[1], sheet)


if __name__ == "__main__":
    main()
