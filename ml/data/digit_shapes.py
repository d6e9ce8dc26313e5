"""Shapes of handwritten digits as pen lines, including variants that MNIST hardly contains.

MNIST was written by Americans in 1990: its 1 is a bar, and its 7 has no cross stroke. In other countries, the 1 has an
upstroke or a foot, the 4 is open or closed, and the 7 is crossed. Each shape consists of a few points with generous
random variation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Rng = np.random.Generator
Line = list[tuple[float, float]]
# Pen lines in a box of about 1 x 1, y downwards, each with a flag for lines with rounded corners.
PenLines = list[tuple[Line, bool]]
Shape = Callable[[Rng], PenLines]


def arc_points(  # noqa: PLR0917 - an ellipse and two angles, in their usual order
    cx: float, cy: float, rx: float, ry: float, start: float, end: float, n: int = 12
) -> Line:
    """Return n points on the arc of an ellipse.

    Args:
        cx: x of the centre.
        cy: y of the centre.
        rx: horizontal radius.
        ry: vertical radius.
        start: first angle in degrees, 0 to the right, 90 downwards.
        end: last angle in degrees.
        n: number of points.
    """
    angles = np.deg2rad(np.linspace(start, end, n))
    return [(cx + rx * float(np.cos(a)), cy + ry * float(np.sin(a))) for a in angles]


def draw_zero(r: Rng) -> PenLines:
    """Draw a round or narrow 0 that starts anywhere at the top and is not always closed."""
    start = r.uniform(-150, -50)
    return [
        (
            arc_points(0, 0.5, r.uniform(0.25, 0.45), 0.5, start, start + r.choice([-1, 1]) * r.uniform(335, 395), 16),
            True,
        )
    ]


def draw_open_zero(r: Rng) -> PenLines:
    """Draw a 0 with a wide gap, often narrow and slanted."""
    w, lean = r.uniform(0.18, 0.4), r.uniform(-0.1, 0.35)
    start = r.uniform(-170, 10)
    outline = arc_points(0, 0.5, w, 0.5, start, start + r.choice([-1, 1]) * r.uniform(300, 345), 16)
    return [([(x + lean * (0.5 - y), y) for x, y in outline], True)]


def draw_slashed_zero(r: Rng) -> PenLines:
    """Draw a 0 with the stroke that distinguishes it from an O, within the ring or far beyond it."""
    w = r.uniform(0.28, 0.45)
    out = r.uniform(0.75, 1.5)
    return [
        (arc_points(0, 0.5, w, 0.5, -90, 275, 16), True),
        ([(w * out * 0.75, 0.5 - 0.38 * out), (-w * out * 0.75, 0.5 + 0.38 * out)], False),
    ]


def draw_bar_one(r: Rng) -> PenLines:
    """Draw a 1 as a single stroke, slanted or slightly bent."""
    slant = r.uniform(-0.25, 0.3)
    return [([(slant, 0), (slant / 2 + r.normal(0, 0.02), 0.5), (0, 1)], True)]


def draw_flag_one(r: Rng) -> PenLines:
    """Draw a 1 with an upstroke, short or down to the middle. It is always steep; the bar of a 7 is flat."""
    reach = r.uniform(0.12, 0.45)
    drop = reach * r.uniform(0.75, 1.6)
    lean = r.uniform(-0.1, 0.15)
    return [([(-reach + lean, drop), (lean, 0), (r.normal(0, 0.03), 1)], False)]


def draw_level_one(r: Rng) -> PenLines:
    """Draw a 1 with a short, level upstroke; the bar of a 7 is at least twice as long."""
    reach, lean = r.uniform(0.1, 0.24), r.uniform(-0.05, 0.12)
    return [([(lean - reach, reach * r.uniform(0.0, 0.6)), (lean, 0), (r.normal(0, 0.03), 1)], False)]


def draw_foot_one(r: Rng) -> PenLines:
    """Draw a 1 with a foot and usually an upstroke, steep or level."""
    left, right = r.uniform(0.15, 0.4, 2)
    tilt = r.normal(0, 0.03)
    foot = ([(-left, 1 + tilt), (right, 1 - tilt)], False)
    stem: Shape = (draw_flag_one, draw_flag_one, draw_level_one, draw_bar_one)[r.integers(4)]
    return [*stem(r), foot]


def draw_two(r: Rng) -> PenLines:
    """Draw a 2 with a round head, a corner or a loop, and a flat, wavy or rising base."""
    w, base = r.uniform(0.28, 0.42), r.uniform(0.0, 0.12)
    head = arc_points(0, 0.3, w, 0.3, r.uniform(-200, -150), r.uniform(10, 45), 9)
    if r.random() < 0.45:
        loop = arc_points(-w + 0.12, 0.9, 0.12, r.uniform(0.06, 0.12), 60, -200, 8)
        return [([*head, *loop, (w * 0.3, 0.97), (w + 0.1, 0.93 - base)], True)]
    corner = (-w, 1.0)
    tail = [corner, (w + r.uniform(-0.05, 0.15), 1.0 - base)]
    return [([*head, corner], True), (tail, False)]


def draw_looped_two(r: Rng) -> PenLines:
    """Draw a 2 with a loop at the foot that is as large as the head of other digits."""
    w, rx, ry = r.uniform(0.25, 0.4), r.uniform(0.12, 0.26), r.uniform(0.08, 0.17)
    head = arc_points(0, 0.28, w, 0.28, r.uniform(-200, -140), r.uniform(10, 40), 9)
    loop = arc_points(-w + rx * 0.8, 0.97 - ry, rx, ry, r.uniform(0, 40), -r.uniform(190, 260), 9)
    tail = [(w * 0.2, 0.95), (w + r.uniform(-0.05, 0.2), r.uniform(0.82, 1.0))]
    return [([*head, *loop, *tail], True)]


def draw_curled_two(r: Rng) -> PenLines:
    """Draw an old-fashioned 2: the head begins with a curl, and the foot is a wide, flat loop with a waving tail."""
    w, rx, ry = r.uniform(0.28, 0.42), r.uniform(0.2, 0.36), r.uniform(0.08, 0.16)
    curl = arc_points(-w + 0.1, 0.3, 0.1, 0.08, r.uniform(0, 60), -r.uniform(100, 200), 6)
    head = arc_points(0, 0.27, w, 0.27, r.uniform(-190, -150), r.uniform(20, 45), 9)
    loop = arc_points(-w * 0.6, 0.98 - ry, rx, ry, r.uniform(10, 50), -r.uniform(170, 230), 9)
    tail = [(0.0, r.uniform(0.82, 0.9)), (w * 0.7, 1.0), (w + r.uniform(0.0, 0.25), r.uniform(0.8, 0.95))]
    return [([*curl, *head, *loop, *tail] if r.random() < 0.6 else [*head, *loop, *tail], True)]


def draw_three(r: Rng) -> PenLines:
    """Draw a 3 of two bows that meet in a point, a nose or a loop, sometimes with a flat top."""
    w = r.uniform(0.26, 0.4)
    waist, nose = r.uniform(0.4, 0.5), r.uniform(-0.15, 0.12)
    lower = arc_points(0, (1 + waist) / 2, w, (1 - waist) / 2, -80, r.uniform(130, 175), 10)
    if r.random() < 0.3:
        return [([(-w, 0.02), (w, 0.0), (nose, waist)], False), ([(nose, waist), *lower], True)]
    upper = arc_points(0, waist / 2, w * r.uniform(0.75, 1), waist / 2, r.uniform(-190, -140), 70, 9)
    return [([*upper, (nose, waist), *lower], True)]


def draw_open_four(r: Rng) -> PenLines:
    """Draw a 4 of two strokes with an open top. The stem starts at the top or just above the bar."""
    bar, stem = r.uniform(0.5, 0.7), r.uniform(0.2, 0.42)
    left, top = r.uniform(-0.42, -0.25), r.uniform(-0.05, 0.15)
    lean = r.uniform(-0.02, 0.18)
    corner = (left + r.normal(0, 0.03), bar)
    angle = [(left + r.uniform(-0.03, 0.16), top), corner, (stem + r.uniform(0.03, 0.3), bar + r.normal(0, 0.03))]
    return [(angle, bool(r.random() < 0.3)), ([(stem + lean, r.uniform(-0.05, 0.35)), (stem - lean / 2, 1)], False)]


def draw_closed_four(r: Rng) -> PenLines:
    """Draw a 4 as a triangle with a stem, in one or two strokes."""
    bar, stem, lean = r.uniform(0.58, 0.75), r.uniform(0.05, 0.2), r.uniform(-0.02, 0.08)
    bar_end = (stem + r.uniform(0.1, 0.3), bar + r.normal(0, 0.02))
    top = (stem + lean, 0.0)
    first = [(top[0] - r.uniform(0, 0.1), 0.0), (-0.42, bar), bar_end]
    return [(first, False), ([top, (stem - lean, 1)], False)]


def draw_single_stroke_four(r: Rng) -> PenLines:
    """Draw a 4 in one stroke: down, right, up and down again. It is open at the top, where a 9 is closed."""
    bar, stem = r.uniform(0.42, 0.6), r.uniform(0.25, 0.42)
    left, back = r.uniform(-0.4, -0.25), r.uniform(-0.05, 0.25)
    lean = r.uniform(-0.05, 0.15)
    cup = [(left + r.uniform(-0.05, 0.12), r.uniform(-0.05, 0.15)), (left, bar * 0.8), (left + 0.12, bar)]
    up = [(stem - 0.08, bar - r.uniform(0, 0.08)), (stem + lean, back)]
    return [([*cup, *up], True), ([(stem + lean, back), (stem - lean / 2, 1)], False)]


def draw_five(r: Rng) -> PenLines:
    """Draw a 5 with a separate or joined bar and a round or nearly straight neck."""
    w, neck = r.uniform(0.24, 0.36), r.uniform(0.36, 0.46)
    left = -w * r.uniform(0.6, 1)
    bowl = arc_points(
        0, (1 + neck) / 2 - 0.03, w, (1 - neck) / 2 + 0.05, r.uniform(-130, -100), r.uniform(110, 165), 10
    )
    gap = r.uniform(-0.02, 0.06)
    bar = ([(left + gap, r.normal(0.0, 0.03)), (w * r.uniform(0.7, 1.4), r.uniform(-0.08, 0.06))], False)
    return [([(left, 0.02), (left - r.uniform(0, 0.05), neck)], False), ([(left, neck), *bowl], True), bar]


def draw_lightning_four(r: Rng) -> PenLines:
    """Draw a 4 in one stroke from the top: slanted or bowed down, across, and slanted down again."""
    bar = r.uniform(0.36, 0.62)
    left, right = r.uniform(-0.45, -0.25), r.uniform(0.15, 0.35)
    top = r.uniform(-0.1, 0.3)
    corner: Line = [(left, bar)] if r.random() < 0.6 else [(left, bar * 0.45), (left + 0.03, bar), (left + 0.15, bar)]
    first = [(top, 0.0), *corner, (right, bar + r.normal(-0.04, 0.05))]
    end = (r.uniform(-0.1, 0.2), 1.0)
    if r.random() < 0.35:
        return [([*first, end], True)]
    return [(first, bool(r.random() < 0.5)), ([first[-1], end], False)]


def draw_pointed_four(r: Rng) -> PenLines:
    """Draw a 4 in one stroke with a closed, pointed loop.

    The stroke is the bar from right to left, up to the top and down the stem, or the reverse direction of the loop.
    """
    bar, left, stem = r.uniform(0.5, 0.72), r.uniform(-0.45, -0.25), r.uniform(0.08, 0.28)
    top, foot = (stem + r.uniform(-0.02, 0.12), 0.0), (stem - r.uniform(-0.02, 0.2), 1.0)
    corner, right = (left, bar + r.normal(0, 0.03)), (stem + r.uniform(0.03, 0.4), bar + r.normal(-0.05, 0.06))
    loop = [right, corner, top] if r.random() < 0.5 else [top, corner, right, (top[0], top[1] + r.uniform(0, 0.25))]
    if r.random() < 0.15:
        return [([*loop, foot], True)]
    return [(loop, False), ([loop[-1], foot], False)]


def draw_single_stroke_five(r: Rng) -> PenLines:
    """Draw a 5 in one stroke from the right end of the bar, with corners or nearly as an S."""
    w, neck = r.uniform(0.22, 0.36), r.uniform(0.32, 0.46)
    left, rise = -w * r.uniform(0.6, 1), r.uniform(-0.08, 0.04)
    bowl = arc_points(0, (1 + neck) / 2 - 0.03, w, (1 - neck) / 2 + 0.05, r.uniform(-125, -95), r.uniform(100, 165), 10)
    top = [(w * r.uniform(0.6, 1.5), rise), (left + r.uniform(-0.02, 0.1), 0.02), (left - r.uniform(-0.03, 0.05), neck)]
    if r.random() < 0.4:
        return [([*top, *bowl], True)]
    return [(top, False), ([top[-1], *bowl], True)]


def draw_six(r: Rng) -> PenLines:
    """Draw a 6 with a straight, bent or hooked stem that continues into a small or wide bowl."""
    w, h = r.uniform(0.22, 0.42), r.uniform(0.2, 0.33)
    bend = r.uniform(-0.25, 0.05)
    bowl = arc_points(0, 1 - h, w, h, -180, -180 - r.uniform(310, 400), 14)
    top = w * r.uniform(-0.4, 0.9)
    hook: Line = [(top + r.uniform(0.05, 0.2), r.uniform(0.05, 0.2))] if r.random() < 0.3 else []
    return [([*hook, (top, 0), (-w + 0.08 + bend * 0.3, 0.3), *bowl], True)]


def draw_square_six(r: Rng) -> PenLines:
    """Draw a 6 with corners: a stem, and a box instead of a bowl."""
    w, bar = r.uniform(0.25, 0.4), r.uniform(0.4, 0.6)
    rise = r.normal(0, 0.04)
    top = (
        [(w * r.uniform(0.3, 1), r.uniform(-0.02, 0.1)), (-w, r.uniform(0, 0.15))] if r.random() < 0.6 else [(-w, 0.0)]
    )
    return [([*top, (-w, 1), (w, 1 + rise), (w, bar + rise), (-w, bar)], bool(r.random() < 0.4))]


def draw_plain_seven(r: Rng) -> PenLines:
    """Draw a 7 with a flat bar and a straight or bent stem, sometimes with a serif at the left."""
    w, foot = r.uniform(0.28, 0.42), r.uniform(-0.3, 0.1)
    rise = r.uniform(-0.05, 0.08)
    start: Line = [(-w - 0.02, r.uniform(0.1, 0.2))] if r.random() < 0.3 else []
    if r.random() < 0.5:
        return [([*start, (-w, rise), (w, 0), (foot, 1)], False)]
    return [
        ([*start, (-w, rise), (w, 0)], False),
        ([(w, 0), (foot + (w - foot) * r.uniform(0.15, 0.4), 0.5), (foot, 1)], True),
    ]


def draw_crossed_seven(r: Rng) -> PenLines:
    """Draw a 7 with a cross stroke through its stem, short or long, level or rising."""
    lines = draw_plain_seven(r)
    (top, _), (bottom_x, _) = lines[-1][0][-2 if len(lines) == 1 else 0], lines[-1][0][-1]
    height = r.uniform(0.36, 0.68)
    middle = top + (bottom_x - top) * height
    left, right = r.uniform(0.12, 0.38, 2)
    tilt = r.uniform(-0.06, 0.14)
    return [*lines, ([(middle - left, height + tilt), (middle + right, height - tilt)], False)]


def draw_eight(r: Rng) -> PenLines:
    """Draw an 8 as one stroke that crosses itself, or as two circles."""
    w, top = r.uniform(0.22, 0.34), r.uniform(0.4, 0.5)
    upper = w * r.uniform(0.7, 1.0)
    if r.random() < 0.35:
        a, b = r.uniform(0, 360, 2)
        return [(arc_points(0, top / 2, upper, top / 2, a, a + 375, 14), True),
                (arc_points(0, (1 + top) / 2, w, (1 - top) / 2, b, b + 375, 14), True)]  # fmt: skip
    head = arc_points(0, top / 2, upper, top / 2, -30, -240, 8)
    body = arc_points(0, (1 + top) / 2, w, (1 - top) / 2, -60, 240, 12)
    return [([*head, *body, *arc_points(0, top / 2, upper, top / 2, 60, -r.uniform(10, 60), 6)], True)]


def draw_nine(r: Rng) -> PenLines:
    """Draw a 9 with a closed bowl and a straight, bent or hooked stem."""
    w, h = r.uniform(0.22, 0.34), r.uniform(0.2, 0.3)
    bowl = arc_points(0, h, w, h, -20, -20 - r.uniform(345, 385), 14)
    foot = r.uniform(-0.2, 0.12)
    hook = [(w * 0.3 + foot, 1.0), (-w, 1 - r.uniform(0.02, 0.15))] if r.random() < 0.4 else [(w + foot, 1.0)]
    return [([*bowl, (w, h), (w + foot * 0.2, 0.6), *hook], True)]


def draw_footed_nine(r: Rng) -> PenLines:
    """Draw a 9 with a foot to the left, flat or bent up, under a small or large bowl."""
    w, h = r.uniform(0.2, 0.38), r.uniform(0.18, 0.3)
    bowl = arc_points(0, h, w, h, -30, -30 - r.uniform(330, 380), 14)
    heel = (w * r.uniform(0.3, 1.0), r.uniform(0.9, 1.0))
    foot = [(-w * r.uniform(0.0, 0.6), 1.0), (-w * r.uniform(0.8, 1.5), r.uniform(0.8, 1.0))]
    if r.random() < 0.3:
        return [([*bowl, (w, h), heel], True), ([heel, foot[-1]], False)]
    return [([*bowl, (w, h), (w, 0.6), heel, *foot], True)]


def draw_hooked_nine(r: Rng) -> PenLines:
    """Draw a 9 whose stem ends in a wide, round hook that rises at the left, as of an old-fashioned hand."""
    w, h = r.uniform(0.22, 0.36), r.uniform(0.18, 0.28)
    bowl = arc_points(0, h, w, h, -20, -20 - r.uniform(340, 385), 14)
    reach = r.uniform(0.6, 1.1) * w
    depth = r.uniform(0.1, 0.22)
    hook = arc_points(w - reach, 1 - depth, reach, depth, 0, r.uniform(150, 215), 9)
    return [([*bowl, (w, h), (w, 0.6), *hook], True)]


def draw_open_nine(r: Rng) -> PenLines:
    """Draw a 9 whose bowl does not reach the stem, or starts apart from it."""
    w, h = r.uniform(0.24, 0.4), r.uniform(0.2, 0.3)
    bowl = arc_points(0, h, w, h, r.uniform(-75, -35), r.uniform(-345, -295), 12)
    foot = r.uniform(-0.2, 0.1)
    hook = [(foot, 1.0), (-w, 1 - r.uniform(0.02, 0.15))] if r.random() < 0.3 else [(w + foot, 1.0)]
    return [(bowl, True), ([(w, r.uniform(0.0, 0.25)), (w * 0.98, 0.5), *hook], True)]


SHAPES: dict[int, tuple[Shape, ...]] = {
    0: (draw_zero, draw_zero, draw_open_zero, draw_slashed_zero),
    1: (draw_bar_one, draw_flag_one, draw_flag_one, draw_flag_one, draw_level_one, draw_foot_one, draw_foot_one),
    2: (draw_two, draw_two, draw_looped_two, draw_curled_two),
    3: (draw_three,),
    4: (draw_open_four, draw_closed_four, draw_single_stroke_four, draw_lightning_four, draw_pointed_four),
    5: (draw_five, draw_single_stroke_five),
    6: (draw_six, draw_six, draw_square_six),
    7: (draw_plain_seven, draw_crossed_seven),
    8: (draw_eight,),
    9: (draw_nine, draw_nine, draw_footed_nine, draw_hooked_nine, draw_open_nine),
}
