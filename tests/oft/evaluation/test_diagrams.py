from __future__ import annotations

import numpy as np
import pytest

from oft.errors import DataError
from oft.evaluation.diagrams import REST, confusion_rows

NAMES = ["other", "wall", "sky", "tree", "lamp"]
CONFUSION = np.array(
    [[0, 0, 0, 0, 0], [0, 30, 6, 0, 4], [1, 0, 79, 20, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 10]], dtype=np.int64
)


def test_shares_of_each_class_sum_to_one() -> None:
    rows = confusion_rows(CONFUSION, NAMES, 2)
    for name in ("sky", "wall"):
        assert sum(row["share"] for row in rows if row["actual"] == name) == pytest.approx(1)


def test_the_most_frequent_classes_are_shown_and_the_rest_gathered() -> None:
    assert confusion_rows(CONFUSION, NAMES, 2) == [
        {"actual": "sky", "predicted": "sky", "share": 0.79},
        {"actual": "sky", "predicted": "wall", "share": 0.0},
        {"actual": "sky", "predicted": REST, "share": 0.21},
        {"actual": "wall", "predicted": "sky", "share": 0.15},
        {"actual": "wall", "predicted": "wall", "share": 0.75},
        {"actual": "wall", "predicted": REST, "share": 0.1},
    ]


def test_classes_absent_in_the_truth_have_no_row() -> None:
    rows = confusion_rows(CONFUSION, NAMES, 99)
    assert {row["actual"] for row in rows} == {"wall", "sky", "lamp"}


def test_a_perfect_judge_fills_the_diagonal() -> None:
    rows = confusion_rows(np.diag([0, 5, 3, 2, 1]), NAMES, 4)
    assert all(row["share"] == (row["actual"] == row["predicted"]) for row in rows)


def test_names_must_match_the_classes() -> None:
    with pytest.raises(DataError, match="4 class names for 5 classes"):
        confusion_rows(CONFUSION, NAMES[1:], 2)
