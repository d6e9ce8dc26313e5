"""Images of different difficulty and limits for the processor time of their preprocessing."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from digitsite.testing.drawings import drawing, jpeg, lamp_and_shadow, on_paper, rule
from ml.preprocessing import prepare_image
from ml.serving.images import decode

if TYPE_CHECKING:
    from collections.abc import Callable

_BLUE = (30, 40, 160)
# Limits in milliseconds by printed name.
PROMISED = {
    "quick path, canvas of 280x280": 1.0,
    "search, shadow on plain paper": 6.0,
    "search, ruled paper": 6.0,
    "search, squared paper": 6.0,
    "photo of 12 megapixels, JPEG, with decoding": 60.0,
}


def cases() -> dict[str, Callable[[], object]]:
    """Return a function to measure for each name of `PROMISED`."""
    paper = lamp_and_shadow(280, 280, edge=1)
    canvas = Image.fromarray(255 - drawing()).convert("RGBA")
    shaded, ruled, squared = (
        Image.fromarray(jpeg(on_paper(drawing(pen=8), _BLUE, ground), 85))
        for ground in (lamp_and_shadow(280, 280), rule(paper, 60), rule(paper, 60, squared=True))
    )
    photo = cv2.resize(on_paper(drawing(pen=8), _BLUE, rule(paper, 60)), (4000, 3000), interpolation=cv2.INTER_CUBIC)
    file = io.BytesIO()
    Image.fromarray(photo.astype(np.uint8)).save(file, "JPEG", quality=85)
    functions = (
        lambda: prepare_image(canvas), lambda: prepare_image(shaded), lambda: prepare_image(ruled),
        lambda: prepare_image(squared), lambda: prepare_image(decode(file.getvalue())),
    )  # fmt: skip
    return dict(zip(PROMISED, functions, strict=True))


def processor_milliseconds(work: Callable[[], object], tries: int = 100, seconds: float = 5.0) -> float:
    """Return the minimum processor time of one call.

    Args:
        work: Function to measure.
        tries: Maximum number of calls.
        seconds: No call is started after this time.
    """
    best, end = float("inf"), time.monotonic() + seconds
    for _ in range(tries):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
        if time.monotonic() > end:
            break
    return best * 1000
