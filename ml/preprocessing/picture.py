"""A picture to the 28x28 that the model sees: which pixels are ink, cropped, fitted to the box, centred."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from ml.preprocessing.frame import SIDE, Prepared, centre, fit_box

# Less difference than this between ink and paper (of 255) is no ink.
_FAINTEST = 12


def prepare_image(image: Image.Image, *, crop: tuple[int, int, int, int] | None = None) -> Prepared:
    """Find the ink of one digit and bring it into MNIST's form.

    Args:
        image: mode L, LA, RGB or RGBA, as `ml.images.decode` gives it.
        crop: left, top, right, bottom in the image's pixels, when a person has framed the digit.

    Returns:
        The 28x28 and the evidence about the ink; `blank` when no ink was found.
    """
    if crop is not None:
        image = image.crop(crop)
    grey = _flatten(image)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = int(np.median(border))
    bright = cv2.absdiff(grey, np.full_like(grey, paper))
    if grey.size == 0 or int(bright.max()) < _FAINTEST:
        return Prepared(np.zeros((SIDE, SIDE), np.uint8), {"contrast": int(bright.max(initial=0))}, blank=True)
    threshold, mask = cv2.threshold(bright, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    left, top, width, height = cv2.boundingRect(mask)
    glyph = bright[top : top + height, left : left + width].astype(np.float32)
    glyph = np.clip((glyph - threshold * 0.5) * (255.0 / max(1.0, threshold)), 0, 255).astype(np.uint8)
    return Prepared(centre(fit_box(glyph)), {"contrast": int(bright.max()), "coverage": float(mask.mean() / 255)})


def _flatten(image: Image.Image) -> np.ndarray:
    """Grey uint8. Where something is transparent, the paper behind it is chosen so that the ink stays visible."""
    pixels = np.asarray(image)
    if image.mode in ("L", "RGB"):
        return pixels if image.mode == "L" else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    alpha = pixels[..., -1].astype(np.float32) / 255
    grey = pixels[..., 0] if image.mode == "LA" else cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)
    seen = alpha.sum()
    mean = float((grey * alpha).sum() / seen) if seen else 255.0
    paper = 255.0 if mean < 128 else 0.0
    return np.rint(grey * alpha + paper * (1 - alpha)).astype(np.uint8)
