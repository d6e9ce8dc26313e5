"""Synthetic outliers: letters, symbols, doodles, closed curves, scribbles, several or marked digits and textures.

A classifier that was trained on digits only calls a horse an 8 with 100 % certainty. Training on outliers with a
uniform target ("outlier exposure", Hendrycks et al., 2019) raises the energy of images that show no digit. Letters that
look like a digit (I, l, O, o, S, s, Z, z, b, G, g, q, δ) are not included. Write a sheet of examples with

    python -m ml.data.outliers sheet.png
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
from PIL import Image

from ml.data.closed_curves import CLOSED_CURVES
from ml.data.digit_shapes import SHAPES, PenLines, Rng, arc_points
from ml.data.synthetic_digits import prepare_random_source, write_by_hand
from ml.preprocessing import prepare_image, prepare_strokes

# Letters and symbols as pen lines "xy xy …" in a 4 x 6 grid. "/" separates lines, "|" separates glyphs, and "~" marks a
# line with rounded corners.
_GLYPHS = """
06 20 46/13 33 | ~00 06/~00 33 06 | 00 06/~00 40 46 06 | 40 00 06 46/03 33 | 40 00 06/03 33 |
00 06/40 46/03 43 | 20 25/~25 16 05 | 00 06/40 03/03 46 |
00 06 46 | 06 00 23 40 46 | 06 00 46 40 | 00 06/~00 40 43 03 | ~00 40 43 03/00 06/13 46 | 00 40/20 26 |
~00 05 26 45 40 | 00 26 40 | 00 16 23 36 40 | 00 46/40 06 | 00 23 40/23 26 | 00 06/~02 22 26 |
02 06/~04 02 32 | ~40 03 43 06 46 | 20 25 46/02 42 | 02 06/~03 12 22 26/~23 32 42 46 | 02 46/42 06 |
02 26 42/26 06 | ~02 05 26 45 42/42 46 | ~40 10 06/03 33 | 00 06/42 04 46 | ~42 02 06 46 |
~42 02 06 46 42/42 46 | ~04 44 42 02 06 46 | 20 26/03 43 | 00 46/40 06/23 23 | 02 42/04 44 | 13 26 40 |
00 06 46 40 00 | 20 46 06 20 | 20 43 26 03 20 | 03 43/32 43 34 | 20 26/11 20 31 | 06 00 46 40/00 40 |
26 20/10 20 30/03 13 23 | 10 16/30 36/02 42/04 44 | 06 03 20 43 46 06/16 14 24 26 | 16 20 36 02 42 16 |
03 13 20 36 43 | ~43 32 14 05 03 14 32 45 | ~00 12 26 32 40/26 16 | ~06 02 00 30 32 02 43 46 06 |
00 22 46/22 06 | ~00 05 20 25 40 | ~03 06 26 23/~23 26 46 43 | ~40 20 02 34 06 |
~42 12 03 23/~23 04 16 46 | 06 00 40 46 | 00 40/10 16/30 36 | ~00 20 24 06 46/24 | ~00 03 43 40/20 26 |
~01 20 41 23 06/26 46 | 46 40 06 00 | 00 40 20 26 | ~20 00 03 23 20/26 20 | 00 20 06 26 46 40 |
02 42/~20 25 46 | ~10 02 22 30 42/~02 26 42 | ~60 44 16 03 10 42 66 | ~60 43 26 04 11 42 66 |
~08 02 20 41 23 44 26 05 | ~08 01 20 41 32 13 33 45 26 04 | ~01 10 33 37 28 17 33 60 | ~00 12 36 28 16 60 |
03 14 26 40 70 | 04 13 26 40 80 | ~11 04 26 33/~33 46 64 51 |
~20 02 05 27 45 42 20/03 43 | ~21 03 25 43 21/20 27 | 00 40 02 42 04 44 06 46 | 00 13 20 33 40 53 60
"""


def _parse_glyph(glyph: str) -> PenLines:
    lines: PenLines = []
    for text in glyph.split("/"):
        points = [(int(p[0]) / 6, int(p[1]) / 6) for p in text.lstrip("~").split()]
        if len(points) > 1:
            lines.append((points, text.startswith("~")))
    return lines


GLYPHS = [_parse_glyph(glyph.strip()) for glyph in _GLYPHS.split("|")]


def _draw_glyph(r: Rng) -> PenLines:
    return GLYPHS[r.integers(len(GLYPHS))]


def _draw_runes(r: Rng) -> PenLines:
    """Draw random strokes between the points of a small grid, which resemble a letter."""
    grid = [(x, y) for x in (0.0, 0.35, 0.7) for y in (0.0, 0.5, 1.0)]
    lines: PenLines = []
    for _ in range(r.integers(2, 6)):
        indices = r.permutation(len(grid))[: r.integers(2, 4)]
        lines.append(([grid[i] for i in indices], bool(r.random() < 0.3)))
    return lines


def _draw_scribble(r: Rng) -> PenLines:
    """Draw a random walk, loops or hatching."""
    n = int(r.integers(8, 40))
    kind = r.integers(3)
    if kind == 0:
        points = np.cumsum(r.normal(0, 1, (n, 2)), axis=0)
    elif kind == 1:
        turns = np.cumsum(r.normal(r.uniform(-0.8, 0.8), 0.7, n + 8))
        points = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1), axis=0)
    else:
        across = np.where(np.arange(n) % 2, 1.0, 0.0) + r.normal(0, 0.12, n)
        points = np.stack([across, np.linspace(0, r.uniform(0.5, 1.5), n) + r.normal(0, 0.03, n)], axis=1)
        points = points[:, ::-1] if r.random() < 0.5 else points
    points = (points - points.min(0)) / max(float(np.ptp(points, axis=0).max()), 1e-6)
    return [([(float(x), float(y)) for x, y in points], bool(r.random() < 0.8))]


def _draw_doodle(r: Rng) -> PenLines:
    """Combine circles, arcs, boxes, rays and lines, as in faces, suns, flowers, houses and wheels."""
    lines: PenLines = []
    if r.random() < 0.6:
        rx, ry = r.uniform(0.3, 0.5, 2)
        lines.append((arc_points(0.5, 0.5, rx, ry, 0, 365, 16), True))
        for _ in range(r.integers(1, 5)):
            x, y = r.uniform(0.3, 0.7, 2)
            size = r.uniform(0.05, 0.2)
            lines.append((arc_points(x, y, size, size, r.uniform(0, 360), r.uniform(300, 760), 9), True))
    if not lines or r.random() < 0.4:
        rays, inner = int(r.integers(3, 9)), r.uniform(0, 0.6)
        for k in range(rays):
            a = 2 * np.pi * k / rays + r.uniform(-0.2, 0.2)
            dx, dy = float(np.cos(a)), float(np.sin(a))
            lines.append(([(0.5 + inner * dx, 0.5 + inner * dy), (0.5 + 0.75 * dx, 0.5 + 0.75 * dy)], False))
    for _ in range(r.integers(0, 3)):
        x0, y0, x1, y1 = r.uniform(0, 1, 4)
        lines.append(([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)][: r.integers(2, 6)], False))
    return lines


def _draw_polygon(r: Rng) -> PenLines:
    """Draw a polygon, a star or a spiral."""
    kind = r.integers(3)
    if kind == 2:
        turns = np.linspace(0, r.uniform(9, 22), 40)
        radius = turns / turns[-1] * 0.5
        return [
            (
                [(0.5 + float(a * np.cos(t)), 0.5 + float(a * np.sin(t))) for a, t in zip(radius, turns, strict=True)],
                True,
            )
        ]
    corners = int(r.integers(3, 6)) if kind == 0 else int(r.integers(5, 9))
    order = np.arange(corners + 1) * (1 if kind == 0 else 2)
    angles = 2 * np.pi * order / corners + r.uniform(0, 6.3)
    return [([(0.5 + 0.5 * float(np.cos(a)), 0.5 + 0.5 * float(np.sin(a))) for a in angles], False)]


def _draw_closed_curve(r: Rng) -> PenLines:
    """Draw a heart, a leaf, a flower or another closed curve."""
    return CLOSED_CURVES[r.integers(len(CLOSED_CURVES))](r)


def _draw_script(r: Rng) -> PenLines:
    """Draw one line of arches, garlands, loops and stems, which resembles a letter or a syllable of cursive script."""
    line: list[tuple[float, float]] = []
    x = 0.0
    for _ in range(r.integers(2, 5)):
        width, kind = r.uniform(0.25, 0.5), r.integers(4)
        if kind == 0:
            line += arc_points(x + width / 2, 0.6, width / 2, r.uniform(0.2, 0.4), 180, 360, 7)
        elif kind == 1:
            line += arc_points(x + width / 2, 0.5, width / 2, r.uniform(0.2, 0.5), 180, 0, 7)
        elif kind == 2:
            line += arc_points(x + width / 2, 0.4, width / 2, r.uniform(0.25, 0.6), 120, -240, 10)
        else:
            line += [(x + width / 2, r.uniform(-0.5, 0.2)), (x + width / 2, r.uniform(0.8, 1.5))]
        x += width
    return [(line, bool(r.random() < 0.8))]


def _draw_several_digits(r: Rng) -> PenLines:
    """Draw two or three digits or letters side by side."""
    lines: PenLines = []
    for position in range(r.integers(2, 4)):
        shapes = SHAPES[int(r.integers(10))]
        glyph = shapes[r.integers(len(shapes))](r) if r.random() < 0.7 else _draw_glyph(r)
        shift, rise = position * r.uniform(0.85, 1.15), r.normal(0, 0.06)
        lines += [([(x + shift, y + rise) for x, y in line], is_round) for line, is_round in glyph]
    return lines


def _draw_marked_digit(r: Rng) -> PenLines:
    """Draw a digit in a circle or a box of three or four sides.

    The plain reading of such an image is no digit: its high energy lets the reading without the mark win
    (`ml.serving.choice`).
    """
    shapes = SHAPES[int(r.integers(10))]
    lines = shapes[r.integers(len(shapes))](r)
    points = np.concatenate([line for line, _ in lines])
    (left, top), (right, bottom) = points.min(0), points.max(0)
    if r.random() < 0.5:
        x, y = (left + right) / 2 + r.normal(0, 0.05), (top + bottom) / 2 + r.normal(0, 0.05)
        start, sweep = r.uniform(0, 360), r.choice([-1, 1]) * r.uniform(330, 400)
        rx, ry = (right - left) / 2 * 1.1 + r.uniform(0.12, 0.5), (bottom - top) / 2 * 1.1 + r.uniform(0.05, 0.4)
        return [*lines, (arc_points(x, y, rx, ry, start, start + sweep, 20), True)]
    gaps = r.uniform(0.1, 0.5) + r.uniform(0, 0.15, 4)
    left, top, right, bottom = left - gaps[0], top - gaps[1], right + gaps[2], bottom + gaps[3]
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    first = int(r.integers(4))
    ring = [corners[(first + k) % 4] for k in range(4 if r.random() < 0.25 else 5)]
    return [*lines, (ring, bool(r.random() < 0.2))]


_GLYPH_SHARE, _CLOSED_CURVE_SHARE = 4, 2  # the most varied kinds
_DRAWING_FUNCTIONS = (
    *(_draw_glyph,) * _GLYPH_SHARE,
    _draw_runes,
    _draw_scribble,
    _draw_doodle,
    _draw_polygon,
    *(_draw_closed_curve,) * _CLOSED_CURVE_SHARE,
    _draw_script,
    _draw_several_digits,
    _draw_marked_digit,
)
# From an image of these, preprocessing may select a single digit, which is no outlier.
_FROM_STROKES = (_draw_several_digits, _draw_marked_digit)


def _draw_texture(r: Rng) -> np.ndarray:
    """Draw a texture, clouds or noise and preprocess it as a photo without a digit: (28, 28) uint8."""
    w, h = (int(side) for side in r.integers(24, 120, 2))
    noise = cv2.resize(r.normal(0, 1, r.integers(2, 12, 2)), (w, h), interpolation=cv2.INTER_CUBIC)
    values = 128 + (noise - r.uniform(-0.8, 0.8)) * r.uniform(20, 400)
    if r.random() < 0.3:
        values *= r.random((h, w)) < r.uniform(0.3, 0.9)
    return prepare_image(Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))).pixels


def draw_outliers(n: int, seed: int) -> np.ndarray:
    """Draw n outliers. The same arguments give the same result.

    Returns:
        (n, 28, 28) uint8.
    """
    r = np.random.default_rng([seed, 2])
    images = np.empty((n, 28, 28), np.uint8)
    for i in range(n):
        if r.random() < 0.1:
            images[i] = _draw_texture(r)
            continue
        draw = _DRAWING_FUNCTIONS[r.integers(len(_DRAWING_FUNCTIONS))]
        strokes = write_by_hand(draw(r), r)
        if draw in _FROM_STROKES:
            images[i] = prepare_strokes(strokes, pen=r.uniform(1.4, 2.6)).pixels
        else:
            images[i] = prepare_random_source(strokes, r)
    return images


def main() -> None:
    """Write a sheet of outliers to the file in the first command line argument."""
    images = draw_outliers(600, 1)
    cv2.imwrite(sys.argv[1], np.vstack([np.hstack(list(images[i : i + 30])) for i in range(0, 600, 30)]))


if __name__ == "__main__":
    main()
