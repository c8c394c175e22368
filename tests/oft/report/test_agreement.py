from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from oft.report.agreement import Pair, mean_half_widths, pair_metrics, render_pairs

RUN = ("canny_coco", "oft")


def paired(there: Any, here: Any, tolerance: float = 0.01, half_width: float = 0.0) -> Pair:
    [pair] = pair_metrics({RUN: {"f1": there}}, {RUN: {"f1": here}}, {RUN: {"f1": half_width}}, tolerance)
    return pair


@pytest.mark.parametrize(
    ("there", "here", "agrees"),
    [
        (0.5, 0.5, True),
        (0.5, 0.505, True),
        (0.505, 0.5, True),
        (0.5, 0.506, False),
        (-100.0, -101.0, True),
        (0.0, 0.0, True),
        (1e-7, 2e-6, True),
        (0.0, 1e-4, False),
        (4, 4, True),
        ("canny", "canny", True),
        ("canny", "hed", False),
        (True, False, False),
        ([1, 2], [1, 2], True),
        (0.5, "0.5", False),
        (float("nan"), 0.5, False),
    ],
)
def test_numbers_agree_within_a_share_of_the_larger_and_all_else_if_equal(
    there: Any, here: Any, agrees: bool
) -> None:
    assert paired(there, here).agrees is agrees
    assert paired(here, there).agrees is agrees


def test_the_interval_of_a_mean_over_pictures_widens_the_tolerance() -> None:
    assert not paired(0.50, 0.53).agrees
    assert paired(0.50, 0.53, half_width=0.04).agrees
    assert paired(0.50, 0.53, tolerance=0.1, half_width=0.001).agrees


def test_what_one_side_alone_has_is_named_and_does_not_agree() -> None:
    pairs = pair_metrics(
        {RUN: {"f1": 0.5, "old": 1.0}, ("gone", "oft"): {"f1": 0.5}},
        {RUN: {"f1": 0.5, "nested": {"new": 2.0}}},
        {},
        0.01,
    )
    assert [(pair.run[0], pair.metric, pair.agrees) for pair in pairs] == [
        ("canny_coco", "f1", True),
        ("canny_coco", "nested.new", False),
        ("canny_coco", "old", False),
        ("gone", "f1", False),
    ]
    *table, summary = render_pairs(pairs, "v1")
    assert table[2].endswith("no: here alone") and table[3].endswith("no: v1 alone")
    assert summary == "1 of 4 metrics agree; 3 do not"


def test_the_table_has_a_row_for_each_metric() -> None:
    header, row, _ = render_pairs([paired(0.5, 0.6)], "main")
    cells = [cell.strip() for cell in header.split("|")]
    assert cells == ["task", "adapter", "metric", "main", "here", "difference", "within tolerance"]
    assert [cell.strip() for cell in row.split("|")] == [
        "canny_coco",
        "oft",
        "f1",
        "0.5",
        "0.6",
        "0.1",
        "no (0.006)",
    ]


def test_half_widths_are_students_over_conditions() -> None:
    values = np.random.default_rng(0).normal(size=(12, 3))
    rows = [
        {"key": f"k{key}", "index": index, "f1": float(values[key, index]), "label": "x", "missing": None}
        for key in range(12)
        for index in range(3)
    ]
    means = values.mean(axis=1)
    expected = t.ppf(0.975, 11) * means.std(ddof=1) / np.sqrt(12)
    assert mean_half_widths(rows) == {"f1": pytest.approx(expected)}
    assert mean_half_widths(rows[:3]) == {} == mean_half_widths([])
