"""Closed curves that are no digit: hearts, leaves, flowers, bows, moons, clouds and blobs.

A network that has seen no closed curve but 0 takes each of them for a 0. Curves without a corner, a bay or a stalk are
not included, because people write such a 0. `ml.data.outliers` draws them with the variation of handwriting.
"""

from __future__ import annotations

import numpy as np

from ml.data.digit_shapes import Line, PenLines, Rng, Shape, arc_points


def _to_line(x: np.ndarray, y: np.ndarray) -> Line:
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def _bezier(points: Line, n: int = 10) -> Line:
    """Return n points on the cubic Bezier curve of four control points."""
    t = np.linspace(0, 1, n)[:, None]
    a, b, c, d = (np.array(point) for point in points)
    curve = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    return _to_line(curve[:, 0], curve[:, 1])


def _mirrored(line: Line) -> Line:
    return [(-x, y) for x, y in reversed(line)]


def draw_heart(r: Rng) -> PenLines:
    """Draw a heart from two Bezier curves, wide or narrow, with a deep or shallow cleft."""
    width, cleft, shoulder = r.uniform(0.45, 0.75), r.uniform(0.1, 0.35), r.uniform(-0.3, 0.0)
    half = _bezier([(0.0, cleft), (0.1, shoulder), (width, shoulder), (width * 0.85, 0.4)], 8)
    half += _bezier([(width * 0.85, 0.4), (width * 0.7, 0.65), (0.15, r.uniform(0.8, 0.95)), (0.0, 1.0)], 8)[1:]
    return [([*half, *_mirrored(half)[1:]], True)]


def draw_leaf(r: Rng) -> PenLines:
    """Draw a leaf: two bows that meet in points, with a stalk, which may be its vein, or with several veins."""
    belly, widest = r.uniform(0.2, 0.5), r.uniform(0.2, 0.7)
    half = _bezier([(0.0, 0.0), (belly, widest - 0.2), (belly, widest + 0.2), (0.0, 1.0)], 12)
    lines: PenLines = [([*half, *_mirrored(half)[1:]], True)]
    if r.random() < 0.75:
        lines.append(([(0.0, r.uniform(0.1, 1.0)), (r.normal(0, 0.05), r.uniform(1.2, 1.6))], False))
    else:
        for y in np.arange(0.3, 0.9, r.uniform(0.15, 0.3)):
            lines.append(([(-belly * 0.5, float(y) - 0.15), (0.0, float(y)), (belly * 0.5, float(y) - 0.15)], False))
    return lines


def draw_flower(r: Rng) -> PenLines:
    """Draw a flower: petals around a centre, in one line or each for itself, sometimes with a stalk."""
    petals, inner = int(r.integers(3, 9)), r.uniform(0.08, 0.3)
    lines: PenLines = []
    if r.random() < 0.5:
        t = np.linspace(0, 2 * np.pi, 14 * petals) + r.uniform(0, 6.3)
        radius = inner + (0.5 - inner) * np.abs(np.cos(petals * t / 2)) ** r.uniform(0.5, 1.5)
        lines.append((_to_line(radius * np.cos(t), radius * np.sin(t)), True))
    else:
        for turn in np.arange(petals) * 360 / petals + r.uniform(0, 360):
            x, y = 0.33 * np.cos(np.deg2rad(turn)), 0.33 * np.sin(np.deg2rad(turn))
            lines.append((arc_points(float(x), float(y), 0.17, 0.17, turn - 150, turn + 150, 9), True))
    if r.random() < 0.5:
        lines.append((arc_points(0, 0, inner * 0.8, inner * 0.8, 0, 365, 10), True))
    if r.random() < 0.3:
        lines.append(([(0.0, 0.5), (r.normal(0, 0.1), 1.3)], True))
    return lines


def draw_bow(r: Rng) -> PenLines:
    """Draw a bow or a butterfly: two loops next to each other, round or as triangles, sometimes with two ends."""
    width, height = r.uniform(0.45, 0.7), r.uniform(0.2, 0.45)
    wing = [(0.0, 0.0), (width, -height), (width * r.uniform(0.8, 1.1), height), (0.0, 0.0)]
    lines: PenLines = [([*wing, *_mirrored(wing)[1:]], bool(r.random() < 0.6))]
    if r.random() < 0.5:
        end = (r.uniform(0.2, 0.5), r.uniform(0.5, 0.8))
        lines.append(([(-end[0], end[1]), (0.0, 0.0), end], True))
    if r.random() < 0.3:
        lines.append((arc_points(0, 0, 0.08, 0.1, 0, 365, 8), True))
    return lines


def draw_moon(r: Rng) -> PenLines:
    """Draw a crescent."""
    depth = r.uniform(0.35, 0.8)
    outer = arc_points(0, 0.5, 0.5, 0.5, 60, 300, 14)
    ends = outer[-1], outer[0]
    inner = [(x - 0.5 * depth * float(np.sin(np.pi * k / 9)), y) for k, (x, y) in enumerate(_between(*ends, 10))]
    return [(outer, True), (inner, True)]


def _between(start: tuple[float, float], end: tuple[float, float], n: int) -> Line:
    return _to_line(np.linspace(start[0], end[0], n), np.linspace(start[1], end[1], n))


def draw_cloud(r: Rng) -> PenLines:
    """Draw a cloud or a tree top: bumps along an ellipse."""
    bumps, flat = int(r.integers(4, 9)), r.uniform(0.5, 1.0)
    t = np.linspace(0, 2 * np.pi, 10 * bumps)
    radius = 0.42 + r.uniform(0.1, 0.18) * np.abs(np.sin(bumps * t / 2))
    lines: PenLines = [(_to_line(radius * np.cos(t), flat * radius * np.sin(t)), True)]
    if r.random() < 0.3:
        lines += [([(x, 0.4 * flat), (x * 0.8, 1.0)], False) for x in (-0.1, 0.1)]
    return lines


def draw_blob(r: Rng) -> PenLines:
    """Draw a closed curve of random waves. Its bays are deep, otherwise it would be a 0."""
    t = np.linspace(0, 2 * np.pi, 60)
    radius = np.ones_like(t)
    for waves in range(3, 6):
        radius += r.normal(0, 1 / waves) * np.cos(waves * t + r.uniform(0, 6.3))
    deep = r.uniform(0.2, 0.35) + (radius - radius.min()) / max(float(np.ptp(radius)), 1e-6)
    return [(_to_line(deep * np.cos(t), deep * np.sin(t)), True)]


CLOSED_CURVES: tuple[Shape, ...] = (
    draw_heart, draw_heart, draw_leaf, draw_flower, draw_bow, draw_moon, draw_cloud, draw_blob,
)  # fmt: skip
