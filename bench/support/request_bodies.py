"""Deterministic request bodies for the benchmarks: synthetic digits, all different.

All are different because the site does not write an image again that it has stored, which would be cheaper.
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


def write_bodies(kind: str, count: int, folder: Path) -> Bodies:
    """Write bodies of one kind to files.

    Args:
        kind: `small` (PNG 28x28), `canvas` (PNG 280x280, RGBA), `strokes`, `photo` (JPEG, 12 megapixels), each as one
            submission; `hundred` is a form with a hundred small ones.
        count: Number of bodies.
        folder: New folder for the files.
    """
    if kind == "strokes":
        bodies = [json.dumps({"strokes": strokes, "frame": FRAME}).encode() for strokes in drawings(count)]
        return Bodies.write(folder, JSON, bodies)
    if kind == "hundred":
        files = small(count * BATCH)
        return Bodies.write(folder, FORM, [form(files[at : at + BATCH]) for at in range(0, len(files), BATCH)])
    files = {"small": small, "canvas": canvases, "photo": photos}[kind](count)
    return Bodies.write(folder, FORM, [form([file]) for file in files])


def noise(count: int) -> list[bytes]:
    """Return PNG files of 28x28 grey noise, different from all other bodies."""
    pixels = np.random.default_rng(28).integers(0, 256, (count, 28, 28), np.uint8)
    return [_file(Image.fromarray(image), "PNG") for image in pixels]


def form(files: list[bytes]) -> bytes:
    """Return a multipart form with the files in fields named `image`."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{number}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + file
        + b"\r\n"
        for number, file in enumerate(files)
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def data_url(file: bytes) -> str:
    """Return a PNG file as a data URL."""
    return "data:image/png;base64," + base64.b64encode(file).decode()


def small(count: int) -> list[bytes]:
    """Return PNG files of 28x28: training digits of MNIST, of which there are 55,000."""
    return [_file(Image.fromarray(image), "PNG") for image in mnist.load_mnist().train_images[:count]]


def canvases(count: int) -> list[bytes]:
    """Return PNG files of 280x280 RGBA with black ink on transparency, as a canvas exports them."""
    files = []
    for strokes in drawings(count):
        rgba = np.zeros((280, 280, 4), np.uint8)
        rgba[..., 3] = render_strokes(strokes, side=280)
        files.append(_file(Image.fromarray(rgba), "PNG"))
    return files


def photos(count: int) -> list[bytes]:
    """Return JPEG files of 4000x3000: a digit in blue ink on ruled paper with a shadow."""
    paper = rule(lamp_and_shadow(280, 280, edge=1), 60)
    files = []
    for strokes in drawings(count):
        sheet = on_paper(render_strokes(strokes, side=280, pen=8), BLUE, paper)
        files.append(_file(Image.fromarray(cv2.resize(sheet, PHOTO_SIZE, interpolation=cv2.INTER_CUBIC)), "JPEG"))
    return files


def drawings(count: int) -> list[list[list[list[float]]]]:
    """Return strokes in a frame of 280 units, rounded as the Draw page rounds them."""
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
