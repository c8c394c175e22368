from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import experiments.claims.page
from experiments.claims.page.styles import NUM_COLOURS, SHAPES, style_series

Colours = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
"""A row for each colour, of three numbers."""

CSS = (Path(experiments.claims.page.__file__).parent / "page.css").read_text(encoding="utf-8")
TEXT, GRAPHICS = 4.5, 3.0  # WCAG 2.2, level AA: 1.4.3 and 1.4.11


def read_schemes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    variables = re.compile(r"--([\w-]+): (#\w+)")
    return {"light": dict(variables.findall(light)), "dark": dict(variables.findall(dark))}


def to_linear(colour: str) -> list[float]:
    """Return a colour's linear red, green and blue."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def luminance(colour: str) -> float:
    red, green, blue = to_linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_and_seen(scheme: str) -> None:
    colours = read_schemes()[scheme]
    assert contrast("#fff", "#000") == pytest.approx(21)
    for name in ("ink", "soft", "accent", "holds", "part", "fails", "undecided", "unmeasured"):
        assert contrast(colours[name], colours["paper"]) >= TEXT, name
    assert contrast(colours["soft"], colours["pale"]) >= TEXT
    assert contrast(colours["ink"], colours["notice"]) >= TEXT
    for place in range(NUM_COLOURS):
        assert contrast(colours[f"series-{place}"], colours["paper"]) >= GRAPHICS, place


def test_the_schemes_have_the_same_colours() -> None:
    schemes = read_schemes()
    assert schemes["light"].keys() == schemes["dark"].keys()
    used = set(re.findall(r"var\(--([\w-]+)\)", CSS)) | {f"series-{place}" for place in range(NUM_COLOURS)}
    assert used <= schemes["light"].keys()


def test_no_two_adapters_share_a_colour_or_a_shape() -> None:
    assert len(set(SHAPES)) == len(SHAPES) >= NUM_COLOURS
    styles = list(style_series(map(str, range(NUM_COLOURS * len(SHAPES)))).values())
    assert len(set(styles)) == len(styles)
    first = styles[:NUM_COLOURS]
    assert len({style.colour for style in first}) == len({style.shape for style in first}) == NUM_COLOURS
    assert style_series(["a", "b", "a"]).keys() == {"a", "b"}


# What is seen of linear RGB without the cones for red, green or blue (Machado and others, 2009, severity 1).
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopia": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def to_lab(linear: Colours) -> Colours:
    """Return linear sRGB as CIELAB, where a distance of 2.3 is just noticeable."""
    xyz = linear @ TO_XYZ.T / TO_XYZ.sum(1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), (903.3 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


@pytest.mark.parametrize("seen", [*BLINDNESS])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_told_apart_by_those_who_see_fewer(scheme: str, seen: str) -> None:
    colours = read_schemes()[scheme]
    linear = np.array([to_linear(colours[f"series-{place}"]) for place in range(NUM_COLOURS)])
    lab = to_lab(np.clip(linear @ BLINDNESS[seen].T, 0, 1))
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    assert distances[~np.eye(NUM_COLOURS, dtype=bool)].min() > 15
