"""Encoding of the readings of an image for the database and the prediction queue."""

import json

import numpy as np
import pytest

from ml.readings import Reading, ReadingKind, decode_readings, encode_further


def reading(kind: ReadingKind, value: int) -> Reading:
    return Reading(kind, np.full((28, 28), value, np.uint8), {"stroke": value / 100, "several": False})


READINGS = [reading(ReadingKind.PLAIN, 1), reading(ReadingKind.UNMARKED, 2), reading(ReadingKind.SHEET, 3)]


def test_decoded_readings_equal_the_encoded_ones() -> None:
    pixels, ink = encode_further(READINGS)
    plain = READINGS[0]
    decoded = decode_readings(plain.pixels.tobytes(), plain.ink, pixels, json.loads(json.dumps(ink)))
    assert [item.kind for item in decoded] == [item.kind for item in READINGS]
    for item, original in zip(decoded, READINGS, strict=True):
        assert (item.pixels == original.pixels).all()
        assert {name: item.ink[name] for name in original.ink} == original.ink


def test_plain_reading_alone_has_no_further_ones() -> None:
    assert encode_further(READINGS[:1]) == (b"", [])
    [plain] = decode_readings(bytes(784), {})
    assert plain.kind == ReadingKind.PLAIN
    assert not plain.pixels.any()


@pytest.mark.parametrize(
    ("pixels", "further_pixels", "further_ink"),
    [
        (bytes(783), b"", []),
        (bytes(784), bytes(784), []),
        (bytes(784), b"", [{"kind": "padded"}]),
        (bytes(784), bytes(784), [{"kind": "upside-down"}]),
    ],
)
def test_damaged_readings_are_an_error(pixels: bytes, further_pixels: bytes, further_ink: list) -> None:
    with pytest.raises(ValueError, match=r"reshape|ReadingKind"):
        decode_readings(pixels, {}, further_pixels, further_ink)
