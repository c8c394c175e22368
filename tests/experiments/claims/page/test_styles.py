from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

import experiments.claims.page
from experiments.claims.page.styles import NUM_COLOURS, SHAPES, style_series

CSS = (Path(experiments.claims.page.__file__).parent / "page.css").read_text(encoding="utf-8")
TEXT, GRAPHICS = 4.5, 3.0  # WCAG 2.2, level AA: 1.4.3 and 1.4.11


def read_schemes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    variables = re.compile(r"--([\w-]+): (#\w+)")
    return {"light": dict(variables.findall(light)), "dark": dict(variables.findall(dark))}


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
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


def test_series_are_told_apart_by_shape_too() -> None:
    styles = style_series(map(str, range(NUM_COLOURS * len(SHAPES))))
    assert len(set(styles.values())) == len(styles)
    neighbours = list(styles.values())[: len(SHAPES)]
    assert all(a is b or a.shape != b.shape for a, b in product(neighbours, repeat=2))
    assert style_series(["a", "b", "a"]).keys() == {"a", "b"}
