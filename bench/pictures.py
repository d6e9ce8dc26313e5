"""Request bodies for the benchmarks: digits drawn by procedure, no two alike. Deterministic.

No two alike, for a picture that the site has already is not written a second time, and that would flatter it.
"""

import base64
import io
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from digitsite.testing.drawings import lamp_and_shadow, on_paper, rule
from ml.data import mnist
from ml.data.digit_shapes import SHAPES
from ml.data.synthetic_digits import write_by_hand
from ml.preprocessing import FRAME, render_strokes

from .load import Bodies

BOUNDARY = "----digits-of-a-benchmark"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
JSON = "application/json"
BLUE = (30, 40, 160)
PHOTO_SIZE = (4000, 3000)
BATCH = 100


def of(kind: str, count: int, folder: Path) -> Bodies:
    """Bodies of one kind, in files.

    Args:
        kind: `small` (PNG 28x28), `canvas` (PNG 280x280, RGBA), `strokes`, `photo` (JPEG, 12 megapixels), each as one
            submission; `hundred` is a form with a hundred small ones.
    """
    if kind == "strokes":
        bodies = [json.dumps({"strokes": one, "frame": FRAME}).encode() for one in drawings(count)]
        return Bodies.written(folder, JSON, bodies)
    if kind == "hundred":
        files = small(count * BATCH)
        return Bodies.written(folder, FORM, [form(files[at : at + BATCH]) for at in range(0, len(files), BATCH)])
    files = {"small": small, "canvas": canvases, "photo": photos}[kind](count)
    return Bodies.written(folder, FORM, [form([file]) for file in files])


def noise(count: int) -> list[bytes]:
    """PNG 28x28 of grey noise, like nothing else that is sent."""
    pixels = np.random.default_rng(28).integers(0, 256, (count, 28, 28), np.uint8)
    return [_file(Image.fromarray(one), "PNG") for one in pixels]


def form(files: list[bytes]) -> bytes:
    """A form with the files in fields called `image`."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{number}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + file
        + b"\r\n"
        for number, file in enumerate(files)
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def data_url(file: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(file).decode()


def small(count: int) -> list[bytes]:
    """PNG files of 28x28: the training digits of MNIST, of which there are 55,000."""
    return [_file(Image.fromarray(image), "PNG") for image in mnist.load_mnist().train_images[:count]]


def canvases(count: int) -> list[bytes]:
    """PNG files of 280x280 RGBA, black ink on nothing, as a canvas gives them."""
    files = []
    for strokes in drawings(count):
        rgba = np.zeros((280, 280, 4), np.uint8)
        rgba[..., 3] = render_strokes(strokes, side=280)
        files.append(_file(Image.fromarray(rgba), "PNG"))
    return files


def photos(count: int) -> list[bytes]:
    """JPEG files of 4000x3000: a digit in blue ink on ruled paper, with a shadow."""
    paper = rule(lamp_and_shadow(280, 280, edge=1), 60)
    files = []
    for strokes in drawings(count):
        sheet = on_paper(render_strokes(strokes, side=280, pen=8), BLUE, paper)
        files.append(_file(Image.fromarray(cv2.resize(sheet, PHOTO_SIZE, interpolation=cv2.INTER_CUBIC)), "JPEG"))
    return files


def drawings(count: int) -> list[list[list[list[float]]]]:
    """Strokes in a frame of 280 units, rounded as the Draw page rounds them."""
    random = np.random.default_rng(1)
    drawn = []
    for number in range(count):
        shapes = SHAPES[number % 10]
        strokes = write_by_hand(shapes[random.integers(len(shapes))](random), random)
        drawn.append([[np.round(axis, 1).tolist() for axis in stroke] for stroke in strokes])
    return drawn


def _file(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=85)
    return buffer.getvalue()
