"""Tests of the contrast of the colours, in light and in dark (WCAG 2.2 AA)."""

import re
from pathlib import Path

import pytest

STYLESHEET = Path(__file__).parents[3] / "recognizer/static/recognizer/css/tokens.css"
# Foreground, background and minimum contrast: 4.5 for text, 3 for graphics.
PAIRS = [
    *[(ink, ground, 4.5) for ink in ("ink", "ink-soft", "accent", "bad") for ground in ("paper", "card")],
    *[("ink", "accent-soft", 4.5), ("accent-strong", "accent-soft", 4.5)],
    *[("ink", "bad-soft", 4.5), ("on-accent", "accent", 4.5), ("on-accent", "accent-strong", 4.5)],
    *[("edge", "paper", 3), ("edge", "card", 3), ("accent", "line", 3)],
]


def colours(scheme: str) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", STYLESHEET.read_text(), re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", block)) for block in blocks[:2])
    return light if scheme == "light" else light | dark


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "back", "min_contrast"), PAIRS)
def test_contrast(scheme: str, front: str, back: str, min_contrast: float) -> None:
    known = colours(scheme)
    bright, dim = sorted((luminance(known[front]), luminance(known[back])), reverse=True)
    assert (bright + 0.05) / (dim + 0.05) >= min_contrast
