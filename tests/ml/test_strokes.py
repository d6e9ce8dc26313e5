"""Strokes: untrusted JSON is checked and brought to one frame, and drawn for the model as MNIST would be."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ml.preprocessing import FRAME, StrokesError, parse_strokes, prepare_image, prepare_strokes, render_strokes
from ml.strokes import MAX_POINTS, MAX_STROKES
from tests.ml.drawings import FIVE, SEVEN, TWELVE


def refusal(value: object, **options: object) -> StrokesError:
    with pytest.raises(StrokesError) as caught:
        parse_strokes(value, **options)
    assert str(caught.value).endswith(".")
    return caught.value


# --- Checking ---


def test_strokes_are_brought_to_the_frame_and_rounded():
    assert parse_strokes([[[0, 280], [140, 70.123456]]]) == [[[0.0, 280.0], [140.0, 70.12]]]
    assert parse_strokes([[[0, 500], [250, 1]]], frame=500) == [[[0.0, 280.0], [140.0, 0.56]]]


def test_times_are_kept_as_they_are():
    assert parse_strokes([[[1, 2], [3, 4], [0, 16.5]]], frame=140) == [[[2.0, 4.0], [6.0, 8.0], [0.0, 16.5]]]


def test_strokes_without_points_are_dropped():
    assert parse_strokes([[[], []], [[5], [6]]]) == [[[5.0], [6.0]]]


@pytest.mark.parametrize("value", [[], [[[], []]], [[[], [], []], [[], []]]])
def test_no_stroke_at_all_is_an_empty_drawing(value):
    assert refusal(value).code == "empty"


@pytest.mark.parametrize(
    "value",
    [
        None, "strokes", 7, {"x": [1]}, [7], ["ab"], [[[1], [2], [3], [4]]], [[[1]]], [[1, 2]], [[[1, 2], [3]]],
        [[[1], [2], []]], [[{}, {}]], [["1", "2"]], [None],
    ],
)  # fmt: skip
def test_another_shape_is_refused(value):
    assert refusal(value).code == "bad_shape"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), "5", None, True, [1], 1j])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_is_no_finite_number_is_refused(bad, axis):
    stroke = [[1, 2], [3, 4], [5, 6]]
    stroke[axis][1] = bad
    assert refusal([stroke]).code == "not_a_number"


@pytest.mark.parametrize("bad", [1e300, -1e5, 10**400, 281 * 2])
def test_points_far_off_the_canvas_are_refused(bad):
    assert refusal([[[1, bad], [3, 4]]]).code == "out_of_range"


def test_a_pointer_may_leave_the_canvas_a_little():
    assert parse_strokes([[[-50, 330], [10, 400]]])


@pytest.mark.parametrize("frame", [0, -1, float("nan"), float("inf"), 1e9, "280", None, True])
def test_an_impossible_frame_is_refused(frame):
    assert refusal([[[1], [1]]], frame=frame).code == "out_of_range"


def test_a_million_points_are_refused_at_once():
    points = [1.0] * 1_000_000
    start = time.process_time()
    assert refusal([[points, points]]).code == "too_many"
    assert refusal([[[1], [1]]] * 1_000_000).code == "too_many"
    assert time.process_time() - start < 0.1


def test_as_many_as_are_allowed_are_taken():
    assert len(parse_strokes([[[1], [1]]] * MAX_STROKES)) == MAX_STROKES
    each = MAX_POINTS // 10
    strokes = parse_strokes([[list(range(each)), list(range(each))] for _ in range(10)], frame=1000)
    assert not prepare_strokes(strokes).blank
    assert refusal([[[1], [1]]] * (MAX_STROKES + 1)).code == "too_many"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=20,
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(JSON)
def test_any_json_is_parsed_or_refused(value):
    try:
        strokes = parse_strokes(value)
    except StrokesError:
        return
    json.dumps(strokes, allow_nan=False)


# --- Drawing ---

NUMBERS = st.floats(-200, 400, allow_nan=False)
DRAWINGS = st.lists(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(st.lists(NUMBERS, min_size=n, max_size=n), st.lists(NUMBERS, min_size=n, max_size=n))
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(DRAWINGS)
def test_any_drawing_gives_28x28_with_ink_in_the_field(drawing):
    prepared = prepare_strokes(parse_strokes([list(stroke) for stroke in drawing]))
    assert (prepared.pixels.shape, prepared.pixels.dtype) == ((28, 28), np.uint8)
    assert not prepared.blank
    assert prepared.pixels.max() > 100
    json.dumps(prepared.ink)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(scale=st.floats(0.2, 1.2), x=st.floats(-50, 100), y=st.floats(-50, 100))
def test_where_and_how_large_it_is_drawn_does_not_matter(scale, x, y):
    moved = [[[a * scale + x for a in stroke[0]], [b * scale + y for b in stroke[1]]] for stroke in SEVEN]
    difference = np.abs(prepare_strokes(moved).pixels.astype(int) - prepare_strokes(SEVEN).pixels)
    assert difference.mean() < 4


@pytest.mark.parametrize("strokes", [SEVEN, FIVE])
def test_strokes_and_the_picture_of_them_look_alike_to_the_model(strokes):
    drawn = prepare_strokes(strokes).pixels
    seen = prepare_image(Image.fromarray(render_strokes(strokes))).pixels
    assert np.corrcoef(drawn.ravel(), seen.ravel())[0, 1] > 0.9


def test_strokes_have_the_width_of_mnists():
    # a bar across: its thickness is the pen's, 2 to 3 pixels of 28
    pixels = prepare_strokes([[[40.0, 240.0], [100.0, 100.0]]]).pixels
    assert 2.0 < pixels[:, 14].sum() / 255 < 3.0


def test_a_slip_of_the_finger_does_not_shrink_the_digit():
    slip = [*SEVEN, [[275.0], [270.0]]]
    assert np.array_equal(prepare_strokes(slip).pixels, prepare_strokes(SEVEN).pixels)


def test_a_dot_and_several_digits_are_seen_as_such():
    assert prepare_strokes([[[100.0], [100.0]]]).ink["dot"]
    assert prepare_strokes([[[100.0, 104.0], [100.0, 101.0]]]).ink["dot"]
    assert prepare_strokes(TWELVE).ink["several"]
    for strokes in (SEVEN, FIVE):
        ink = prepare_strokes(strokes).ink
        assert not ink["dot"]
        assert not ink["several"]


def test_no_stroke_is_blank():
    assert prepare_strokes([]).blank


def test_the_kept_picture_shows_the_drawing_where_it_was():
    picture = render_strokes([[[70.0, 210.0], [140.0, 140.0]]], side=140, pen=20)
    assert (picture.shape, picture.dtype) == ((140, 140), np.uint8)
    rows, columns = np.nonzero(picture > 127)
    assert 64 <= rows.min() <= 65
    assert 74 <= rows.max() <= 75
    assert 29 <= columns.min() <= 31
    assert 108 <= columns.max() <= 110
    assert render_strokes([]).shape == (FRAME, FRAME)
