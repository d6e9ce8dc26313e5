"""Strokes: validation of untrusted JSON, scaling to the frame, and rendering for the model."""

from __future__ import annotations

import json
import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digitsite.testing.drawings import FIVE, SEVEN, TWELVE
from digitsite.testing.preprocessing_costs import processor_milliseconds
from ml.preprocessing import FRAME, StrokesError, parse_strokes, prepare_image, prepare_strokes, render_strokes
from ml.preprocessing.strokes import MAX_EXACT_POINTS, MAX_POINTS, MAX_STROKES, Strokes, draw_lines
from ml.readings import ReadingKind


def refusal(value: object, **options: object) -> StrokesError:
    with pytest.raises(StrokesError) as error:
        parse_strokes(value, **options)
    assert str(error.value).endswith(".")
    return error.value


# --- Validation ---


def test_strokes_are_scaled_to_the_frame_and_rounded():
    assert parse_strokes([[[0, 280], [140, 70.123456]]]) == [[[0.0, 280.0], [140.0, 70.12]]]
    assert parse_strokes([[[0, 500], [250, 1]]], frame=500) == [[[0.0, 280.0], [140.0, 0.56]]]


def test_times_are_not_scaled():
    assert parse_strokes([[[1, 2], [3, 4], [0, 16.5]]], frame=140) == [[[2.0, 4.0], [6.0, 8.0], [0.0, 16.5]]]


def test_strokes_without_points_are_dropped():
    assert parse_strokes([[[], []], [[5], [6]]]) == [[[5.0], [6.0]]]


@pytest.mark.parametrize("value", [[], [[[], []]], [[[], [], []], [[], []]]])
def test_drawing_without_points_is_empty(value):
    assert refusal(value).code == "empty"


@pytest.mark.parametrize(
    "value",
    [
        None, "strokes", 7, {"x": [1]}, [7], ["ab"], [[[1], [2], [3], [4]]], [[[1]]], [[1, 2]], [[[1, 2], [3]]],
        [[[1], [2], []]], [[{}, {}]], [["1", "2"]], [None],
    ],
)  # fmt: skip
def test_invalid_shapes_are_rejected(value):
    assert refusal(value).code == "bad_shape"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), "5", None, True, [1], 1j])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_values_that_are_not_finite_numbers_are_rejected(bad, axis):
    stroke = [[1, 2], [3, 4], [5, 6]]
    stroke[axis][1] = bad
    assert refusal([stroke]).code == "not_a_number"


@pytest.mark.parametrize("bad", [1e300, -1e5, 10**400, 281 * 2])
def test_points_far_outside_the_canvas_are_rejected(bad):
    assert refusal([[[1, bad], [3, 4]]]).code == "out_of_range"


def test_points_slightly_outside_the_canvas_are_accepted():
    assert parse_strokes([[[-50, 330], [10, 400]]])


@pytest.mark.parametrize("frame", [0, -1, float("nan"), float("inf"), 1e9, "280", None, True])
def test_invalid_frame_is_rejected(frame):
    assert refusal([[[1], [1]]], frame=frame).code == "out_of_range"


def test_a_million_points_are_rejected_quickly():
    points = [1.0] * 1_000_000
    start = time.process_time()
    assert refusal([[points, points]]).code == "too_many"
    assert refusal([[[1], [1]]] * 1_000_000).code == "too_many"
    assert time.process_time() - start < 0.1


def test_maximum_numbers_of_strokes_and_points_are_accepted():
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
def test_any_json_is_parsed_or_rejected(value):
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
def test_any_drawing_gives_28x28_pixels_with_ink(drawing):
    prepared = prepare_strokes(parse_strokes([list(stroke) for stroke in drawing]))
    assert (prepared.pixels.shape, prepared.pixels.dtype) == ((28, 28), np.uint8)
    assert not prepared.blank
    assert prepared.pixels.max() > 100
    json.dumps(prepared.ink)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(scale=st.floats(0.2, 1.2), x=st.floats(-50, 100), y=st.floats(-50, 100))
def test_position_and_size_of_the_drawing_do_not_matter(scale, x, y):
    moved = [[[a * scale + x for a in stroke[0]], [b * scale + y for b in stroke[1]]] for stroke in SEVEN]
    difference = np.abs(prepare_strokes(moved).pixels.astype(int) - prepare_strokes(SEVEN).pixels)
    assert difference.mean() < 4


@pytest.mark.parametrize("strokes", [SEVEN, FIVE])
def test_strokes_and_their_image_give_similar_input(strokes):
    from_strokes = prepare_strokes(strokes).pixels
    from_image = prepare_image(Image.fromarray(render_strokes(strokes))).pixels
    assert np.corrcoef(from_strokes.ravel(), from_image.ravel())[0, 1] > 0.9


def test_strokes_have_the_width_of_mnist_strokes():
    # A horizontal bar is as thick as the pen, 2 to 3 of 28 pixels.
    pixels = prepare_strokes([[[40.0, 240.0], [100.0, 100.0]]]).pixels
    assert 2.0 < pixels[:, 14].sum() / 255 < 3.0


def test_accidental_dot_does_not_shrink_the_digit():
    with_dot = [*SEVEN, [[275.0], [270.0]]]
    assert np.array_equal(prepare_strokes(with_dot).pixels, prepare_strokes(SEVEN).pixels)


def test_dots_and_several_digits_are_detected():
    assert prepare_strokes([[[100.0], [100.0]]]).ink["dot"]
    assert prepare_strokes([[[100.0, 104.0], [100.0, 101.0]]]).ink["dot"]
    assert prepare_strokes(TWELVE).ink["several"]
    for strokes in (SEVEN, FIVE):
        ink = prepare_strokes(strokes).ink
        assert not ink["dot"]
        assert not ink["several"]


def test_drawing_without_strokes_is_blank():
    assert prepare_strokes([]).blank


def test_stored_image_shows_the_drawing_in_place():
    image = render_strokes([[[70.0, 210.0], [140.0, 140.0]]], side=140, pen=20)
    assert (image.shape, image.dtype) == ((140, 140), np.uint8)
    rows, columns = np.nonzero(image > 127)
    assert 64 <= rows.min() <= 65
    assert 74 <= rows.max() <= 75
    assert 29 <= columns.min() <= 31
    assert 108 <= columns.max() <= 110
    assert render_strokes([]).shape == (FRAME, FRAME)


# --- Cost of rendering ---


def line_of(points: np.ndarray) -> list[list[float]]:
    return points.T.round(2).tolist()


def zigzag(count: int = MAX_POINTS, low: float = 0, high: float = FRAME) -> Strokes:
    x = np.where(np.arange(count) % 2, low, high)
    return [line_of(np.stack([x, np.linspace(low, high, count)], axis=1))]


def scribble(strokes: int, count: int, low: float = 0, high: float = FRAME) -> Strokes:
    points = np.random.default_rng(1).uniform(low, high, (strokes, count, 2))
    return [line_of(stroke) for stroke in points]


def with_points_between(strokes: Strokes, count: int) -> Strokes:
    """Return the same drawing with `count` points along each stroke."""
    finer = []
    for stroke in strokes:
        positions = np.linspace(0, len(stroke[0]) - 1, count)
        finer.append([np.interp(positions, range(len(axis)), axis).tolist() for axis in stroke])
    return finer


ALL_PENS = np.linspace(1, 100, MAX_STROKES).tolist()
# The most expensive valid strokes and pens.
COSTLY = [
    (zigzag(), None),
    (zigzag(), 100.0),
    (zigzag(low=-FRAME, high=2 * FRAME), None),
    (zigzag(MAX_EXACT_POINTS), 100.0),
    (scribble(1, MAX_POINTS), None),
    (scribble(MAX_STROKES, MAX_POINTS // MAX_STROKES), None),
    (scribble(MAX_STROKES, MAX_POINTS // MAX_STROKES, -FRAME, 2 * FRAME), ALL_PENS),
    (scribble(MAX_STROKES, MAX_EXACT_POINTS // MAX_STROKES), ALL_PENS),
]


def cost(strokes: Strokes, pen: float | list[float] | None) -> float:
    """Return the processor time in milliseconds for the stored image and the model's input."""
    return processor_milliseconds(lambda: (render_strokes(strokes, pen=pen), prepare_strokes(strokes)), tries=10)


@pytest.mark.parametrize(("strokes", "pen"), COSTLY)
def test_expensive_drawings_cost_less_than_6_times_300_points(strokes: Strokes, pen: float | list[float] | None):
    """At 07961fc 10,000 points took 15 to 40 times as long."""
    assert cost(strokes, pen) < 6 * cost(zigzag(300), 20.0)


@pytest.mark.acceptance
@pytest.mark.parametrize(("strokes", "pen"), COSTLY)
def test_expensive_drawings_cost_less_than_20_milliseconds(strokes: Strokes, pen: float | list[float] | None):
    assert cost(strokes, pen) < 20


@pytest.mark.parametrize(
    "strokes", [SEVEN, FIVE, TWELVE, scribble(5, 100), scribble(1, MAX_EXACT_POINTS), [[[9], [9]]]]
)
@pytest.mark.parametrize("pen", [1.0, 20.0, 33.3])
def test_ordinary_drawings_are_rendered_with_a_precision_of_a_sixteenth_pixel(strokes: Strokes, pen: float):
    """The rendering equals OpenCV's anti-aliased lines, as in the training data."""
    expected = np.zeros((FRAME, FRAME), np.uint8)
    for stroke in strokes:
        points = np.rint((np.array(stroke).T - 0.5) * 16).astype(np.int32)
        if len(points) == 1:
            cv2.circle(expected, points[0], max(1, round(pen * 8)), 255, cv2.FILLED, cv2.LINE_AA, 4)
        else:
            cv2.polylines(expected, [points], False, 255, max(1, round(pen)), cv2.LINE_AA, 4)
    assert np.array_equal(render_strokes(strokes, pen=pen), expected)


@pytest.mark.parametrize("strokes", [SEVEN, FIVE, TWELVE])
@pytest.mark.parametrize("pen", [2.0, 20.0, 50.0])
def test_coarse_rendering_is_close_to_exact_rendering(strokes: Strokes, pen: float):
    dense = with_points_between(strokes, 2000)
    exact, coarse = render_strokes(strokes, pen=pen), render_strokes(dense, pen=pen)
    pixel = np.ones((3, 3), np.uint8)
    assert not np.any((coarse > 127) & (cv2.dilate(exact, pixel) < 128))
    assert not np.any((exact > 127) & (cv2.dilate(coarse, pixel) < 128))
    prepared, expected = prepare_strokes(dense), prepare_strokes(strokes)
    assert np.abs(prepared.pixels.astype(int) - expected.pixels).mean() < 1.5
    assert {name: prepared.ink[name] for name in ("parts", "several", "dot")} == {
        name: expected.ink[name] for name in ("parts", "several", "dot")
    }


def test_coarse_rendering_includes_dots_and_strokes_beside_the_canvas():
    dots = [[[50.0], [50.0]], [[-9.0, -9.0], [0.0, 280.0]]]
    image = render_strokes([*dots, *with_points_between([[[200.0, 250.0], [200.0, 250.0]]], 2000)], pen=30.0)
    exact = render_strokes(dots, pen=30.0)
    assert np.abs(image[:120, :120].astype(int) - exact[:120, :120]).mean() < 2
    assert image[140, 3] == 255


def test_coarse_rendering_keeps_pen_widths_apart():
    strokes = [with_points_between([[[40.0, 240.0], [y, y]]], 500)[0] for y in (60.0, 140.0, 220.0)]
    image = render_strokes(strokes, pen=[4.0, 20.0, 60.0])
    assert [int((image[:, 140] > 127)[top : top + 80].sum()) for top in (20, 100, 180)] == pytest.approx(
        [5, 21, 61], abs=1
    )


def test_coarse_rendering_has_the_requested_size():
    assert draw_lines([np.full((2000, 2), 5.0)], (7, 9), 3).shape == (7, 9)


TURN = np.linspace(0, 2 * np.pi, 40)
INNER_SEVEN = [[[100, 170, 125], [90, 90, 190]]]
MARKS = {
    "box": [[[30, 250, 250, 30, 30], [30, 30, 250, 250, 30]]],
    "four sides": [[[30, 250], [30, 30]], [[250, 250], [30, 250]], [[250, 30], [250, 250]], [[30, 30], [250, 30]]],
    "circle": [[(140 + 115 * np.cos(TURN)).tolist(), (140 + 115 * np.sin(TURN)).tolist()]],
    "underline": [[[90, 180], [215, 218]]],
}


@pytest.mark.parametrize("mark", MARKS)
def test_strokes_around_or_under_the_digit_are_dropped_in_a_further_reading(mark):
    alone = prepare_strokes(INNER_SEVEN)
    prepared = prepare_strokes(MARKS[mark] + INNER_SEVEN)
    assert [item.kind for item in prepared.readings] == [ReadingKind.PLAIN, ReadingKind.UNMARKED]
    np.testing.assert_array_equal(prepared.readings[1].pixels, alone.pixels)


@pytest.mark.parametrize("strokes", [SEVEN, FIVE, INNER_SEVEN])
def test_strokes_without_marks_have_one_reading(strokes):
    assert len(prepare_strokes(strokes).readings) == 1
