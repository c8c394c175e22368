"""Scores of several arms side by side: by condition, by seed, targets as arms of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.gains.intervals import mean_iou, mean_score
from experiments.gains.scores import (
    FILES,
    Measured,
    choose_value,
    compared_metrics,
    lay_out,
    read_measured,
    shares_conditions,
)
from oft.errors import DataError
from oft.storage import write_json

from .conftest import MakeMeasured

COUNTS = {
    "generated": [
        {"key": "a", "index": 0, "classes": [1, 3], "hits": [2, 0], "actual": [4, 0], "predicted": [3, 1]},
        {"key": "b", "index": 0, "classes": [2], "hits": [5], "actual": [5], "predicted": [5]},
    ],
    "reconstructed": [
        {"key": key, "index": 0, "classes": [1], "hits": [1], "actual": [1], "predicted": [1]} for key in "ab"
    ],
    "real": [
        {"key": key, "index": 0, "classes": [4], "hits": [1], "actual": [1], "predicted": [1]} for key in "ab"
    ],
}


def test_repeats_of_a_condition_are_one_row_and_targets_are_arms(measured: MakeMeasured) -> None:
    base = measured([0.1, 0.3, None, 0.5], [0.8, 0.9], repeats=2)
    adapter = measured([0.2, 0.2, 0.6, 0.6], [0.8, 0.9], repeats=2)
    names, (table,) = lay_out("canny_f1", {"none": [base], "oft": [adapter]})
    assert names == ["none", "oft", "VAE ceiling", "real pictures"]
    assert table.shape == (2, 4, 2)
    np.testing.assert_allclose(table[:, 0], [[0.4, 2], [0.5, 1]])
    np.testing.assert_allclose(table[:, 1], [[0.4, 2], [1.2, 2]])
    np.testing.assert_allclose(table[:, 2], [[0.8, 1], [0.9, 1]])


def test_a_ceiling_known_as_one_number_is_the_same_under_every_draw(measured: MakeMeasured) -> None:
    one = measured([0.1, 0.2, 0.3], metric="dino", dino_ceiling=0.9)
    names, (table,) = lay_out("dino", {"oft": [one]})
    assert names == ["oft", "real pictures"]
    assert (mean_score(table[:, 1]) == 0.9).all()


def test_pixel_counts_of_all_arms_have_the_same_classes() -> None:
    one = Measured({}, [{"key": "a", "index": 0}, {"key": "b", "index": 0}], [], COUNTS)
    names, (table,) = lay_out("miou", {"none": [one]})
    assert names == ["none", "VAE ceiling", "real pictures"]
    assert table.shape == (2, 3, 3 * 5)
    assert choose_value("miou", one) is mean_iou
    assert mean_iou(table[:, 0].sum(axis=0)) == pytest.approx((2 / 5 + 1) / 2)
    assert compared_metrics("segmentation", one) == ["miou", "aacc"]


def test_metrics_without_scores_of_pictures_are_left_out(measured: MakeMeasured) -> None:
    assert compared_metrics("canny", measured([0.1, 0.2])) == ["canny_f1"]
    assert compared_metrics("subject", measured([0.1, 0.2], metric="clip_i")) == ["clip_i"]


def test_arms_on_other_conditions_are_refused(measured: MakeMeasured) -> None:
    with pytest.raises(DataError, match="same conditions and are not: k002 is only in some"):
        lay_out("canny_f1", {"none": [measured([0.1, 0.2])], "oft": [measured([0.1, 0.2, 0.3])]})
    with pytest.raises(DataError, match="seeds should share"):
        runs = [measured([0.1, 0.2]), measured([0.1, 0.2, 0.3])]
        lay_out("canny_f1", {"none": runs}, shared_conditions=True)


def test_only_the_rendered_world_has_other_conditions_for_another_seed() -> None:
    assert not shares_conditions("canny", "world")
    assert shares_conditions("canny", "photos")
    assert shares_conditions("subject", "world")


def test_files_are_read_as_evaluate_writes_them(tmp_path: Path) -> None:
    for name, value in zip(FILES, ({"miou": 0.5}, [{"key": "a"}], [], {"real": []}), strict=True):
        write_json(tmp_path / name, value)
    assert read_measured(tmp_path) == Measured({"miou": 0.5}, [{"key": "a"}], [], {"real": []})
    (tmp_path / FILES[2]).unlink()
    with pytest.raises(DataError, match=r"per_target.json is missing"):
        read_measured(tmp_path)
