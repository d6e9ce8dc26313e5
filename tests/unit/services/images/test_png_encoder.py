"""Our own PNG files say what anybody else's say."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digitsite.testing.drawings import SEVEN
from ml.preprocessing import render_strokes
from ml.serving.images import decode
from recognizer.services.images import png_encoder


def by_pillow(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 2, 3, 4])),
    levels=st.sampled_from([1, 2, 20, 256]),
    seed=st.integers(0, 9),
)
def test_pillow_and_libpng_read_the_same_pixels(shape, levels, seed):
    pixels = np.random.default_rng(seed).integers(256 - levels, 256, shape, dtype=np.uint8)
    pixels = pixels[..., 0] if shape[2] == 1 else pixels
    data = png_encoder.encode(pixels)
    image = Image.open(io.BytesIO(data))
    assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[shape[2]]
    assert np.array_equal(np.asarray(image), pixels)
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    # OpenCV gives blue first, and four channels for grey with alpha
    grey = {
        1: lambda: read,
        2: lambda: read[..., [0, 3]],
        3: lambda: read[..., ::-1],
        4: lambda: read[..., [2, 1, 0, 3]],
    }
    assert np.array_equal(grey[shape[2]](), pixels)
    assert np.array_equal(np.asarray(decode(data).convert("RGBA")), np.asarray(image.convert("RGBA")))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_drawing_takes_no_more_room_than_with_pillow(channels):
    ink = render_strokes(SEVEN)
    pixels = ink if channels == 1 else np.dstack([np.full_like(ink, 40)] * (channels - 1) + [ink])
    assert len(png_encoder.encode(pixels)) < len(by_pillow(pixels))


def test_a_photograph_goes_through_pillows_filters():
    y, x = np.mgrid[0:200, 0:200]
    pixels = (np.sin(x / 40) * 60 + y / 2 + 60).astype(np.uint8)
    assert png_encoder.encode(pixels) == by_pillow(pixels)


def test_equal_pixels_are_equal_bytes():
    assert png_encoder.encode(render_strokes(SEVEN)) == png_encoder.encode(np.asfortranarray(render_strokes(SEVEN)))
