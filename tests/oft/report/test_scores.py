from __future__ import annotations

import pytest

from oft.report.results import PictureScores, RunResults
from oft.report.scores import (
    choose_score,
    closed_share,
    format_setting,
    format_share,
    format_value,
    headline,
    main_metric,
    metric_groups,
)

BASE = RunResults("none", metrics={"miou": 0.1, "miou_ceiling": 0.9, "fid": 50.0, "num_images": 96})
OFT = RunResults("oft", metrics={"miou": 0.5, "miou_ceiling": 0.9, "fid": 30.0, "num_images": 96, "odd": "x"})


def test_closed_share_is_zero_at_the_base_and_one_at_the_ceiling() -> None:
    assert closed_share(0.5, 0.1, 0.9, "miou") == pytest.approx((0.5 - 0.1) / (0.9 - 0.1))
    assert closed_share(0.1, 0.1, 0.9, "miou") == 0
    assert closed_share(0.9, 0.1, 0.9, "miou") == 1
    assert closed_share(0.0, 0.1, 0.9, "miou") == pytest.approx(-0.125)


def test_closed_share_counts_downwards_where_lower_is_better() -> None:
    assert closed_share(30, 50, 10, "fid") == pytest.approx(0.5)


@pytest.mark.parametrize(("base", "ceiling"), [(None, 0.9), (0.1, None), (0.9, 0.9), (0.9, 0.5)])
def test_no_share_without_a_distance(base: float | None, ceiling: float | None) -> None:
    assert closed_share(0.5, base, ceiling, "miou") is None


def test_headline_takes_base_and_ceiling_from_the_task() -> None:
    found = headline("miou", OFT, [BASE, OFT])
    assert found is not None and found.closed == pytest.approx(0.5)
    base = headline("miou", BASE, [BASE, OFT])
    assert base is not None and base.closed is None
    assert headline("canny_f1", OFT, [BASE, OFT]) is None


def test_main_metric_is_the_conditions_or_one_with_a_ceiling() -> None:
    assert main_metric("segmentation", [BASE, OFT]) == "miou"
    assert main_metric("never seen", [BASE, OFT]) == "miou"
    assert main_metric("segmentation", [RunResults("oft", metrics={"aacc": 0.5})]) == "aacc"
    assert (
        main_metric("segmentation", [RunResults("oft", metrics={"miou": float("nan"), "aacc": 0.5})])
        == "aacc"
    )
    assert main_metric("segmentation", [RunResults("oft")]) is None


def test_every_key_has_a_row_and_ceilings_stand_beside_their_metric() -> None:
    rows = {row.key: row for _, _, rows in metric_groups([BASE, OFT]) for row in rows}
    assert set(rows) == {"miou", "fid", "num_images", "odd"}
    assert (rows["miou"].ceiling_key, rows["miou"].ceiling) == ("miou_ceiling", "0.900")
    assert rows["odd"].cells == ("–", "x")


def test_a_ceiling_without_its_metric_has_its_own_row() -> None:
    rows = [
        row
        for _, _, rows in metric_groups([RunResults("oft", metrics={"dino_ceiling": 0.7})])
        for row in rows
    ]
    assert [(row.key, row.cells) for row in rows] == [("dino_ceiling", ("0.700",))]


def test_best_is_marked_by_direction_and_never_a_tie() -> None:
    rows = {row.key: row for _, _, rows in metric_groups([BASE, OFT]) for row in rows}
    assert rows["miou"].best == (False, True)
    assert rows["fid"].best == (False, True)
    assert rows["num_images"].best == (False, False)
    tie = RunResults("coft", metrics={"miou": 0.1})
    assert metric_groups([BASE, tie])[0][2][0].best == (False, False)


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
    pictures = [PictureScores("a", 0, {"fid": 1.0, "miou": 0.2})]
    assert choose_score("segmentation", pictures) == "miou"
    assert choose_score("canny", pictures) == "fid"
    assert choose_score("canny", [PictureScores("a", 0, {"unheard_of": 1.0})]) is None
