"""Background subtraction: an image to ink maps, which hold the difference of each pixel from its paper.

An ink map is uint8 (h, w): 0 is paper, large values are ink. The flat background is for clean images; the others cost
more and handle uneven light.
"""

from __future__ import annotations

import cv2
import numpy as np

from ml.preprocessing.scalar_ops import absolute_difference, mask_above

# Channels whose difference stays below this everywhere (of 255) are grey: JPEG noise alone adds that much colour.
_MAX_GREY_DIFFERENCE = 12
# Visible pixels with a lower standard deviation (of 255) are ink of one colour, so the drawing is in their opacity.
_MAX_ONE_COLOUR_STD = 16.0
# Side of the reduced image on which the curved background is fitted: paper is smooth, so more pixels add nothing.
_FIT_SIDE = 40
_FIT_ROUNDS = 5
# Window of the local background as a share of the long side: wider than any stroke, narrower than a shadow.
_LOCAL_WINDOW = 0.2
# Value in the relative map, in steps of 255, of ink that absorbs all light of the paper.
_FULL_ABSORPTION = 170.0


def flatten_alpha(pixels: np.ndarray) -> np.ndarray:
    """Remove the alpha channel.

    There are two kinds of transparent images. In most, only the ink is opaque (black or white on nothing): the paper
    gets the colour opposite to the ink, so that the ink stays visible. In the others, opaque paper has transparent
    margins, which are filled with the colour of the paper.

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
    # Also when no pixel is visible. The standard deviation is at most half of the range, so this check saves most
    # drawings the passes below.
    if max(int(channel.max()) - int(channel.min()) for channel in channels) < 2 * _MAX_ONE_COLOUR_STD:
        return alpha
    visible = mask_above(alpha, 127)
    mean, std = cv2.meanStdDev(pixels, mask=visible)
    if std[:-1].max() < _MAX_ONE_COLOUR_STD:
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
    """Return one channel of a grey image, which saves two thirds of the work that follows; else the same image."""
    if pixels.ndim == 2:
        return pixels
    red, green, blue = cv2.split(pixels)
    if cv2.norm(red, green, cv2.NORM_INF) >= _MAX_GREY_DIFFERENCE:
        return pixels
    return green if cv2.norm(green, blue, cv2.NORM_INF) < _MAX_GREY_DIFFERENCE else pixels


def border_pixels(pixels: np.ndarray) -> np.ndarray:
    """Return the outermost pixels: (n,), or (n, channels)."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def max_over_channels(difference: np.ndarray) -> np.ndarray:
    """Return the maximum over the channels: ink of any colour changes at least one of them."""
    if difference.ndim == 2:
        return difference
    first, second, third = cv2.split(difference)
    return cv2.max(cv2.max(first, second), third)


def subtract_flat_background(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Subtract the median colour of the border.

    Args:
        pixels: uint8 (h, w) or (h, w, 3).

    Returns:
        The ink map, and the share of border pixels that have that colour: 1.0 for a clean drawing.
    """
    border = border_pixels(pixels)
    paper = _median(border)
    close = np.abs(border - paper) <= _MAX_GREY_DIFFERENCE
    border_share = int(np.count_nonzero(close if close.ndim == 1 else close.all(axis=1))) / len(border)
    colour = np.rint(paper).tolist()
    scalar = (*colour, 0.0) if pixels.ndim == 3 else colour
    return max_over_channels(absolute_difference(pixels, scalar)), border_share


def _median(values: np.ndarray) -> np.ndarray:
    """Return the median along the first axis, without the overhead of `numpy.median` (a hundred calls)."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    ordered = np.partition(values, (low, high), axis=0)
    median: np.ndarray = (ordered[low] + ordered[high].astype(np.float64)) / 2
    return median


def subtract_curved_background(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subtract a smooth background: a quadratic surface per channel, fitted robustly.

    A lamp at one side, a vignette or a soft shadow is nearly quadratic over an image. Ink does not fit the surface, so
    the fit is repeated without the outliers (iteratively re-weighted least squares).

    Args:
        pixels: uint8 (h, w) or (h, w, 3).

    Returns:
        Two ink maps: darker than paper, brighter than paper.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, _FIT_SIDE / max(height, width))
    small_size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, small_size, interpolation=cv2.INTER_AREA).astype(np.float32)
    values = small.reshape(small_size[0] * small_size[1], -1)
    basis = _quadratic_basis(small_size[1], small_size[0])
    weights = np.ones(len(basis), np.float32)
    for _ in range(_FIT_ROUNDS):
        weighted = basis * weights[:, None]
        normal = weighted.T @ basis + 1e-3 * np.eye(6, dtype=np.float32)
        coefficients = np.linalg.solve(normal, weighted.T @ values)
        residual = np.abs(values - basis @ coefficients).max(axis=1)
        std = max(2.0, 1.48 * float(np.median(residual)))
        weights = (residual < 2.0 * std).astype(np.float32) + np.float32(1e-3)
    surface = (basis @ coefficients).reshape(small.shape)
    surface = cv2.resize(surface, (width, height), interpolation=cv2.INTER_LINEAR)
    return _subtract_both_ways(pixels, np.clip(surface, 0, 255).astype(np.uint8))


def _quadratic_basis(height: int, width: int) -> np.ndarray:
    """Return the quadratic terms of each pixel's position, float32 (height * width, 6)."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)


def subtract_local_background(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subtract the brightest, or darkest, value of the neighbourhood, which removes hard shadows.

    A morphological closing fills dark strokes narrower than its window with the paper around them and keeps the edges
    of shadows in place; an opening does the same for bright strokes.

    Args:
        pixels: uint8 (h, w) or (h, w, 3).

    Returns:
        Two ink maps: darker than paper, brighter than paper.
    """
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (3, 3), 0)  # else the extremes of the noise become the background
    window = max(3, int(max(small.shape) * _LOCAL_WINDOW)) | 1
    element = np.ones((window, window), np.uint8)
    maps = []
    for operation in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN):
        surface = cv2.GaussianBlur(cv2.morphologyEx(small, operation, element), (5, 5), 0)
        surface = cv2.resize(surface, (width, height), interpolation=cv2.INTER_LINEAR)
        maps.append(cv2.subtract(surface, pixels) if operation == cv2.MORPH_CLOSE else cv2.subtract(pixels, surface))
    return max_over_channels(maps[0]), max_over_channels(maps[1])


def divide_by_local_background(pixels: np.ndarray) -> np.ndarray:
    """Compute the share of the paper's light that dark ink absorbs, from the local background.

    Pencil that absorbs a fifth of the light differs from the paper by 45 steps in the sun and by 10 in the shade; the
    share is the same in both. The background is not smoothed: that leaves a seam along the edge of a shadow, which
    hides faint ink.

    Args:
        pixels: uint8 (h, w) or (h, w, 3).

    Returns:
        One ink map: 0 for paper, _FULL_ABSORPTION for ink that absorbs all light.
    """
    window = max(3, int(max(pixels.shape[:2]) * _LOCAL_WINDOW)) | 1
    surface = cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, np.ones((window, window), np.uint8))
    return max_over_channels(cv2.divide(cv2.subtract(surface, pixels), surface, scale=_FULL_ABSORPTION))


def _subtract_both_ways(pixels: np.ndarray, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ink maps darker and brighter than a background surface."""
    # cv2.subtract saturates at 0, so each map holds one direction.
    return max_over_channels(cv2.subtract(surface, pixels)), max_over_channels(cv2.subtract(pixels, surface))
