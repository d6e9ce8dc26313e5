"""What is paper and what lies on it: a picture to maps of how much each pixel differs from its paper.

A map is uint8 (h, w): 0 is paper, large is ink. The flat map is for clean pictures; the others cost more and
look through uneven light.
"""

from __future__ import annotations

import cv2
import numpy as np

# Channels that differ less than this everywhere (of 255) are grey: JPEG noise alone makes so much colour.
_GREY = 12
# Visible pixels that scatter less than this (of 255) are ink of one colour, and their opacity is the drawing.
_ONE_COLOUR = 16.0
# Side of the small picture on which the curved paper is fitted: paper is smooth, so more adds nothing.
_FIT_SIDE = 40
_FIT_ROUNDS = 5
# Window of the local background as a share of the long side: wider than any stroke, narrower than a shadow.
_LOCAL = 0.2
# What ink that takes all of the paper's light gives in the relative map, in steps of 255.
_ALL_LIGHT = 170.0


def flatten_alpha(pixels: np.ndarray) -> np.ndarray:
    """The picture without transparency.

    Two kinds of transparent pictures exist. In most the ink alone is opaque, whatever its colour (black or
    white on nothing): the paper behind it is then chosen opposite to the ink, so that it stays visible. In
    the others, opaque paper has transparent margins: these are filled with the paper's colour.

    Args:
        pixels: uint8 (h, w), or (h, w, channels): grey and alpha, RGB, or RGBA.

    Returns:
        uint8 (h, w) or (h, w, 3).
    """
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    *channels, alpha = cv2.split(pixels)
    if alpha.min() == 255:
        return np.ascontiguousarray(pixels[..., :3]) if len(channels) == 3 else channels[0]
    # When nothing is visible as well: then opacity is all there is. Values scatter by half their range at the most,
    # which spares most drawings the passes below.
    if max(int(channel.max()) - int(channel.min()) for channel in channels) < 2 * _ONE_COLOUR:
        return alpha
    visible = cv2.compare(alpha, 127, cv2.CMP_GT)
    mean, scatter = cv2.meanStdDev(pixels, mask=visible)
    if scatter[:-1].max() < _ONE_COLOUR:
        return alpha
    if cv2.countNonZero(visible) > alpha.size / 2:
        paper = np.median(pixels[visible > 0][:, :-1], axis=0)
    else:
        paper = np.full(len(channels), 255.0 if mean[:-1].mean() < 128 else 0.0)
    weight = alpha.astype(np.float32) / 255
    mixed = [
        channel * weight + np.float32(shade) * (1 - weight) for channel, shade in zip(channels, paper, strict=True)
    ]
    return np.rint(cv2.merge(mixed)).astype(np.uint8)


def drop_redundant_channels(pixels: np.ndarray) -> np.ndarray:
    """One channel instead of three where the three say the same: a third of the work from here on."""
    if pixels.ndim == 2:
        return pixels
    red, green, blue = cv2.split(pixels)
    if cv2.norm(red, green, cv2.NORM_INF) < _GREY and cv2.norm(green, blue, cv2.NORM_INF) < _GREY:
        return green
    return pixels


def border_pixels(pixels: np.ndarray) -> np.ndarray:
    """The outermost pixels: (n,), or (n, channels)."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def max_over_channels(difference: np.ndarray) -> np.ndarray:
    """The largest of the channels: ink of any colour changes at least one of them."""
    if difference.ndim == 2:
        return difference
    first, second, third = cv2.split(difference)
    return cv2.max(cv2.max(first, second), third)


def subtract_flat_background(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Difference from one paper colour, that of the border.

    Returns:
        The map, and the share of border pixels that really have that colour: 1.0 for a clean drawing.
    """
    border = border_pixels(pixels)
    paper = _middle(border)
    close = np.abs(border - paper) <= _GREY
    even = int(np.count_nonzero(close if close.ndim == 1 else close.all(axis=1))) / len(border)
    colour = np.rint(paper).tolist()
    return max_over_channels(cv2.absdiff(pixels, (*colour, 0.0) if pixels.ndim == 3 else colour)), even


def _middle(values: np.ndarray) -> np.ndarray:
    """The median along the first axis: NumPy's own goes through a hundred calls for it."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    ordered = np.partition(values, (low, high), axis=0)
    return (ordered[low] + ordered[high].astype(np.float64)) / 2


def subtract_curved_background(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Difference from a paper whose light changes smoothly: a quadratic surface per channel, fitted robustly.

    A lamp at one side, a vignette or a soft shadow is nearly quadratic over a picture; ink is what does not
    fit, so the fit is repeated with the pixels that stand out left aside (iteratively re-weighted least
    squares).

    Returns:
        Two maps: darker than paper, brighter than paper.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, _FIT_SIDE / max(height, width))
    small_size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, small_size, interpolation=cv2.INTER_AREA).astype(np.float32)
    values = small.reshape(small_size[0] * small_size[1], -1)
    basis = _basis(small_size[1], small_size[0])
    weights = np.ones(len(basis), np.float32)
    for _ in range(_FIT_ROUNDS):
        weighted = basis * weights[:, None]
        normal = weighted.T @ basis + 1e-3 * np.eye(6, dtype=np.float32)
        coefficients = np.linalg.solve(normal, weighted.T @ values)
        residual = np.abs(values - basis @ coefficients).max(axis=1)
        scatter = max(2.0, 1.48 * float(np.median(residual)))
        weights = (residual < 2.0 * scatter).astype(np.float32) + np.float32(1e-3)
    surface = (basis @ coefficients).reshape(small.shape)
    surface = cv2.resize(surface, (width, height), interpolation=cv2.INTER_LINEAR)
    return _two_maps(pixels, np.clip(surface, 0, 255).astype(np.uint8))


def _basis(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)


def subtract_local_background(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Difference from the brightest, or darkest, of the neighbourhood: sees through hard shadows.

    A morphological closing fills dark strokes narrower than its window with the paper around them and leaves
    the edge of a shadow where it is; an opening does so for bright strokes.

    Returns:
        Two maps: darker than paper, brighter than paper.
    """
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (3, 3), 0)  # or the extremes of the noise would be taken for the paper
    window = max(3, int(max(small.shape) * _LOCAL)) | 1
    element = np.ones((window, window), np.uint8)
    maps = []
    for operation in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN):
        surface = cv2.GaussianBlur(cv2.morphologyEx(small, operation, element), (5, 5), 0)
        surface = cv2.resize(surface, (width, height), interpolation=cv2.INTER_LINEAR)
        maps.append(cv2.subtract(surface, pixels) if operation == cv2.MORPH_CLOSE else cv2.subtract(pixels, surface))
    return max_over_channels(maps[0]), max_over_channels(maps[1])


def divide_by_local_background(pixels: np.ndarray) -> np.ndarray:
    """The share of the paper's light that dark ink takes, where `subtract_local_background` has the plain difference.

    Pencil that takes a fifth of the light differs from the paper by 45 steps in the sun and by 10 in the shade; the
    share is the same in both. No smoothing of the surface here: it would leave a seam along a shadow's edge, which
    faint ink drowns in.

    Returns:
        One map: 0 for paper, _ALL_LIGHT for ink that takes all of its light.
    """
    window = max(3, int(max(pixels.shape[:2]) * _LOCAL)) | 1
    surface = cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, np.ones((window, window), np.uint8))
    return max_over_channels(cv2.divide(cv2.subtract(surface, pixels), surface, scale=_ALL_LIGHT))


def _two_maps(pixels: np.ndarray, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # cv2.subtract stops at 0, so each map holds one direction only
    return max_over_channels(cv2.subtract(surface, pixels)), max_over_channels(cv2.subtract(pixels, surface))
