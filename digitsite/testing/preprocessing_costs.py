"""Images of different difficulty, and the processor time that preprocessing each of them may take."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from digitsite.testing.drawings import drawing, jpeg, lamp_and_shadow, on_paper, rule
from ml.preprocessing import prepare_image
from ml.serving.images import decode

_BLUE = (30, 40, 160)
# What is promised, in milliseconds, by the names that are printed.
PROMISED = {
    "quick path, canvas of 280x280": 1.0,
    "search, shadow on plain paper": 6.0,
    "search, ruled paper": 6.0,
    "search, squared paper": 6.0,
    "photo of 12 megapixels, JPEG, with decoding": 60.0,
}


def cases() -> dict[str, Callable[[], object]]:
    """What is measured, under the names of `PROMISED`."""
    paper = lamp_and_shadow(280, 280, edge=1)
    canvas = Image.fromarray(255 - drawing()).convert("RGBA")
    shaded, ruled, squared = (
        Image.fromarray(jpeg(on_paper(drawing(pen=8), _BLUE, ground), 85))
        for ground in (lamp_and_shadow(280, 280), rule(paper, 60), rule(paper, 60, squared=True))
    )
    photo = cv2.resize(on_paper(drawing(pen=8), _BLUE, rule(paper, 60)), (4000, 3000), interpolation=cv2.INTER_CUBIC)
    file = io.BytesIO()
    Image.fromarray(photo.astype(np.uint8)).save(file, "JPEG", quality=85)
    asked = (
        lambda: prepare_image(canvas), lambda: prepare_image(shaded), lambda: prepare_image(ruled),
        lambda: prepare_image(squared), lambda: prepare_image(decode(file.getvalue())),
    )  # fmt: skip
    return dict(zip(PROMISED, asked, strict=True))


def processor_milliseconds(work: Callable[[], object], tries: int = 100, seconds: float = 5.0) -> float:
    """The least processor time that one call takes, over so many tries or so many seconds."""
    best, end = float("inf"), time.monotonic() + seconds
    for _ in range(tries):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
        if time.monotonic() > end:
            break
    return best * 1000
