from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from oft.report.figures import Line, draw_confusion, draw_curves, running_mean
from oft.report.results import ConfusionCell, Curve

CURVES = [
    Line(Curve("train", "loss", tuple(range(100)), tuple(1 / (1 + step) for step in range(100))), "OFT", 1),
    Line(Curve("train", "loss", (0.0, 1.0), (1.0, 0.5)), "<&$\\frac", 99),
]
CELLS = [
    ConfusionCell("sky", "sky", 0.75),
    ConfusionCell("sky", "--></svg>", 0.25),
    ConfusionCell("$x", "sky", 1.0),
]


@pytest.fixture(scope="module")
def curves() -> str:
    return draw_curves(CURVES, "one", "loss", is_noisy=True)


@pytest.fixture(scope="module")
def confusion() -> str:
    return draw_confusion(CELLS, "two", "a “label” <b>")


def test_figures_are_whole_and_address_nothing(curves: str, confusion: str) -> None:
    for svg in (curves, confusion):
        ElementTree.fromstring(svg)
        assert "http" not in svg and "<metadata" not in svg
        assert svg.count("<svg") == svg.count("</svg>") == 1


def test_figures_take_on_the_pages_colour(curves: str) -> None:
    assert "currentColor" in curves and "#010203" not in curves


def test_ids_are_the_figures_own_and_all_are_used(curves: str) -> None:
    ids = set(re.findall(r' id="([^"]+)"', curves))
    assert ids and all(name.startswith("one-") for name in ids)
    assert ids == set(re.findall(r'(?:url\(#|href="#)([^)"]+)', curves))


def test_figures_are_deterministic(curves: str, confusion: str) -> None:
    assert draw_curves(CURVES, "one", "loss", is_noisy=True) == curves
    assert draw_confusion(CELLS, "two", "a “label” <b>") == confusion


def test_confusion_writes_per_cents(confusion: str) -> None:
    texts = re.findall(r">([^<>]+)</text>", confusion)
    assert {"75", "25", "100", "sky", "--&gt;&lt;/svg&gt;"} <= set(texts)


def test_labels_without_glyphs_are_no_warning() -> None:
    assert "天空" in draw_confusion([ConfusionCell("天空", "天空", 1.0)], "three", "x")


def test_running_mean_looks_back_alone() -> None:
    values = np.arange(100.0)
    smooth = running_mean(values)
    np.testing.assert_allclose(smooth[:3], [0, 0.5, 1])
    np.testing.assert_allclose(smooth[50], values[46:51].mean())
    np.testing.assert_array_equal(running_mean(values[:9]), values[:9])


def test_long_curves_are_thinned() -> None:
    steps = tuple(float(step) for step in range(20_000))
    long = draw_curves([Line(Curve("train", "loss", steps, steps), "OFT", 1)], "n", "loss", is_noisy=False)
    assert len(long) < 40_000
