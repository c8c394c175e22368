from __future__ import annotations

import pytest

from oft.report.results import PictureScores, RunResults
from oft.report.scores import (
    MetricRow,
    choose_score,
    format_setting,
    format_share,
    format_value,
    main_metric,
    metric_groups,
)

BASE = RunResults("none", metrics={"miou": 0.1, "miou_real": 0.9, "frechet_distance": 50.0, "num_images": 96})
OFT = RunResults(
    "oft",
    metrics={
        "miou": 0.5,
        "miou_real": 0.9,
        "miou_reconstruction": 0.8,
        "frechet_distance": 30.0,
        "num_images": 96,
        "odd": "x",
    },
)


def rows_of(*runs: RunResults) -> dict[str, MetricRow]:
    groups = metric_groups(runs, "miniature", seed=0)
    return {row.key: row for _, _, rows in groups for row in rows}


def test_main_metric_is_the_conditions_or_one_with_a_ceiling() -> None:
    assert main_metric("segmentation", [BASE, OFT]) == "miou"
    assert main_metric("never seen", [BASE, OFT]) == "miou"
    assert main_metric("segmentation", [RunResults("oft", metrics={"aacc": 0.5})]) == "aacc"
    assert (
        main_metric("segmentation", [RunResults("oft", metrics={"miou": float("nan"), "aacc": 0.5})])
        == "aacc"
    )
    assert main_metric("segmentation", [RunResults("oft")]) is None


def test_every_key_has_a_row_and_references_stand_beside_their_metric() -> None:
    rows = rows_of(BASE, OFT)
    assert set(rows) == {"miou", "frechet_distance", "num_images", "odd"}
    assert rows["miou"].references == (("miou_reconstruction", "0.800"), ("miou_real", "0.900"))
    assert rows["frechet_distance"].references == (("", "–"), ("", "–"))
    assert rows["odd"].cells == ("–", "x")
    assert rows["miou"].title == "Mean IoU (miniature segmenter)"


def test_a_reference_without_its_metric_has_its_own_row() -> None:
    rows = rows_of(RunResults("oft", metrics={"canny_f1_real": 0.7}))
    assert [(row.key, row.cells) for row in rows.values()] == [("canny_f1_real", ("0.700",))]


def test_without_an_interval_nothing_is_bold() -> None:
    """Scores of each picture are missing, so nobody knows whether a difference is chance."""
    assert not any(any(row.best) for row in rows_of(BASE, OFT).values())


def test_shares_of_an_adapter_are_in_per_cent() -> None:
    rows = rows_of(RunResults("oft", metrics={"hint_encoder_share": 0.866}))
    assert rows["hint_encoder_share"].cells == ("87 %",)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1024, "1,024"),
        (0.51249, "0.512"),
        (-0.25, "−0.250"),
        (54.54, "54.5"),
        (3.14e-7, "3.1 × 10⁻⁷"),
        (-4e-12, "−4.0 × 10⁻¹²"),
        (2.5e7, "2.5 × 10⁷"),
        (0.0, "0"),
        (float("nan"), "not defined"),
        (float("inf"), "∞"),
        (True, "yes"),
        ("ddim", "ddim"),
        (None, "–"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_values_read_well(value: object, text: str) -> None:
    assert format_value(value) == text


def test_settings_keep_their_figures() -> None:
    assert [format_setting(value) for value in (3.0, 20231, 0.0003, "ddim", True)] == [
        "3",
        "20231",
        "0.0003",
        "ddim",
        "yes",
    ]
    assert [format_share(share) for share in (0.634, -0.1, None)] == ["63 %", "−10 %", "–"]


def test_failures_are_found_by_the_tasks_score() -> None:
    pictures = [PictureScores("a", 0, {"frechet_distance": 1.0, "miou": 0.2})]
    assert choose_score("segmentation", pictures) == "miou"
    assert choose_score("canny", pictures) == "frechet_distance"
    assert choose_score("canny", [PictureScores("a", 0, {"unheard_of": 1.0})]) is None
