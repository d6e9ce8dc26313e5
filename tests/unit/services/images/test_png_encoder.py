"""PNG encoder: other decoders read the same pixels."""

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


def encode_with_pillow(pixels: np.ndarray) -> bytes:
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
    # OpenCV returns BGR order, and four channels for grey with alpha.
    reordered = {
        1: lambda: read,
        2: lambda: read[..., [0, 3]],
        3: lambda: read[..., ::-1],
        4: lambda: read[..., [2, 1, 0, 3]],
    }
    assert np.array_equal(reordered[shape[2]](), pixels)
    assert np.array_equal(np.asarray(decode(data).convert("RGBA")), np.asarray(image.convert("RGBA")))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_drawing_is_smaller_than_with_pillow(channels):
    ink = render_strokes(SEVEN)
    pixels = ink if channels == 1 else np.dstack([np.full_like(ink, 40)] * (channels - 1) + [ink])
    assert len(png_encoder.encode(pixels)) < len(encode_with_pillow(pixels))


def test_photograph_is_encoded_by_pillow():
    y, x = np.mgrid[0:200, 0:200]
    pixels = (np.sin(x / 40) * 60 + y / 2 + 60).astype(np.uint8)
    assert png_encoder.encode(pixels) == encode_with_pillow(pixels)


def test_equal_pixels_give_equal_bytes():
    assert png_encoder.encode(render_strokes(SEVEN)) == png_encoder.encode(np.asfortranarray(render_strokes(SEVEN)))
