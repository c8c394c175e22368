"""Scores of several arms side by side: by condition, by seed, references as arms of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.gains.scores import (
    FILES,
    Measured,
    PairedSeeds,
    compared_metrics,
    pair_seeds,
    read_measured,
    shares_conditions,
)
from oft.errors import DataError
from oft.evaluation.metric import Metric
from oft.evaluation.registry import all_metrics
from oft.storage import write_json

from .conftest import MakeMeasured

ONE = {"4": [1, 1, 1]}
PIXELS = [
    {
        "key": "a",
        "index": 0,
        "generated": {"1": [2, 4, 3], "3": [0, 0, 1]},
        "real": ONE,
        "reconstruction": ONE,
    },
    {"key": "b", "index": 0, "generated": {"2": [5, 5, 5]}, "real": ONE, "reconstruction": ONE},
]


def metric(name: str) -> Metric:
    return all_metrics()[name]


def names(condition: str, measured: Measured) -> list[str]:
    return [found.name for found in compared_metrics(condition, measured)]


def over_all(paired: PairedSeeds) -> list[dict[str, float]]:
    """Return every figure of each seed over all its conditions."""
    return [
        {name: float(figure(np.ones((1, number), np.int64))[0]) for name, figure in figures.items()}
        for figures, number in zip(paired.figures, paired.num_conditions, strict=True)
    ]


def test_repeats_of_a_condition_are_averaged_and_references_are_arms(measured: MakeMeasured) -> None:
    base = measured([0.1, 0.3, None, 0.5], [0.8, 0.9], repeats=2)
    adapter = measured([0.2, 0.2, 0.6, 0.4], [0.8, 0.9], repeats=2)
    paired = pair_seeds(metric("canny_f1"), {"none": [base], "oft": [adapter]})
    assert paired.num_conditions == [2]
    (values,) = over_all(paired)
    assert list(values) == ["none", "oft", "VAE reconstruction", "real pictures"]
    assert list(values.values()) == pytest.approx([0.35, 0.3, 0.85, 1.0]), "the third picture is no pair"


def test_a_reference_known_as_one_number_is_the_same_under_every_draw(measured: MakeMeasured) -> None:
    one = measured([0.1, 0.2, 0.3], metric="subject_similarity", subject_similarity_real=0.9)
    paired = pair_seeds(metric("subject_similarity"), {"oft": [one]})
    (figures,) = paired.figures
    assert list(figures) == ["oft", "real pictures"]
    assert figures["real pictures"](np.array([[3, 0, 0], [0, 1, 2]])).tolist() == [0.9, 0.9]


def test_pixels_by_class_give_the_metrics_of_all_pictures() -> None:
    one = Measured({}, [{"key": key, "index": 0, "aacc": 0.5} for key in "ab"], PIXELS)
    assert names("segmentation", one) == ["miou", "aacc"]
    ((figures,), (number,)) = pair_seeds(metric("miou"), {"none": [one]})
    assert list(figures) == ["none", "VAE reconstruction", "real pictures"] and number == 2
    draws = np.array([[1, 1], [2, 0]])
    assert figures["none"](draws) == pytest.approx([(2 / 5 + 1) / 2, 2 / 5])


def test_metrics_without_scores_of_pictures_are_left_out(measured: MakeMeasured) -> None:
    assert names("canny", measured([0.1, 0.2])) == ["canny_f1"]
    likeness = "subject_similarity_image_text"
    assert names("subject", measured([0.1, 0.2], metric=likeness)) == [likeness]


def test_arms_on_other_conditions_are_refused(measured: MakeMeasured) -> None:
    with pytest.raises(DataError, match="same conditions and are not: k002 is only in some"):
        pair_seeds(metric("canny_f1"), {"none": [measured([0.1, 0.2])], "oft": [measured([0.1, 0.2, 0.3])]})
    with pytest.raises(DataError, match="seeds should share"):
        runs = [measured([0.1, 0.2]), measured([0.1, 0.2, 0.3])]
        pair_seeds(metric("canny_f1"), {"none": runs}, shared_conditions=True)


def test_a_shared_condition_that_one_seed_lacks_a_score_of_is_left_out_of_all(measured: MakeMeasured) -> None:
    runs = [measured([0.1, None, 0.3, 0.4]), measured([0.5, 0.6, None, 0.8])]
    apart = pair_seeds(metric("canny_f1"), {"oft": runs})
    assert apart.num_conditions == [3, 3]
    shared = pair_seeds(metric("canny_f1"), {"oft": runs}, shared_conditions=True)
    assert shared.num_conditions == [2, 2]
    assert [values["oft"] for values in over_all(shared)] == pytest.approx([0.25, 0.65])


def test_only_the_rendered_world_has_other_conditions_for_another_seed() -> None:
    assert not shares_conditions("canny", "world")
    assert not shares_conditions("canny", "world-blueprint")
    assert shares_conditions("canny", "photos")
    assert shares_conditions("subject", "world")


def test_files_are_read_as_evaluate_writes_them(tmp_path: Path) -> None:
    for name, value in zip(FILES, ({"miou": 0.5}, [{"key": "a"}], PIXELS), strict=True):
        write_json(tmp_path / name, value)
    assert read_measured(tmp_path) == Measured({"miou": 0.5}, [{"key": "a"}], PIXELS)
    (tmp_path / FILES[2]).unlink()
    with pytest.raises(DataError, match=r"class_pixels.json is missing"):
        read_measured(tmp_path)
