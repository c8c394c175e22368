"""Words for figures: a difference that an interval does not show is never called one."""

from __future__ import annotations

import pytest

from oft.evaluation.intervals import Interval
from oft.evaluation.metric import REAL, RECONSTRUCTION
from oft.evaluation.registry import all_metrics
from oft.report.gains import Gain, MetricGains
from oft.report.glossary import AdapterWords
from oft.report.results import RunResults
from oft.report.sentences import describe_gains, describe_parameters, format_difference, format_interval

RUNS = [
    RunResults("none", AdapterWords("Base alone")),
    RunResults("hint", AdapterWords("Hint encoder alone", is_hint_alone=True)),
    RunResults("oft", AdapterWords("OFT")),
]
UP, EVEN, DOWN = Interval(0.2, 0.1, 0.3), Interval(0.01, -0.02, 0.04), Interval(-0.2, -0.3, -0.1)
MUCH, HALF, REST = Interval(0.71, 0.64, 0.78), Interval(0.55, 0.47, 0.62), Interval(0.36, 0.25, 0.46)


def words(hint: Gain | None = None, distance: Interval = UP, num_conditions: int = 96, **gains: Gain) -> str:
    by_adapter = ({} if hint is None else {"hint": hint}) | gains
    measured = MetricGains(all_metrics()["miou"], RECONSTRUCTION, num_conditions, distance, by_adapter)
    return " ".join(describe_gains(measured, RUNS, "miniature")[1:])


def test_how_far_an_adapter_came_and_how_far_the_hint_encoder_alone() -> None:
    assert words(Gain(UP, HALF), oft=Gain(UP, MUCH, UP, REST)) == (
        "OFT closes 71 % [64, 78] of the distance from the base to what the autoencoder can show; the hint "
        "encoder alone 55 % [47, 62]. Of what the hint encoder leaves, OFT closes 36 % [25, 46]."
    )


@pytest.mark.parametrize(
    ("hint", "oft", "expected"),
    [
        (
            Gain(UP, HALF),
            Gain(UP, MUCH, EVEN, REST),
            "Between OFT and the hint encoder alone no difference can be seen (+0.010 [−0.020, 0.040]).",
        ),
        (Gain(UP, HALF), Gain(UP, MUCH, DOWN, REST), "OFT is worse than the hint encoder alone (−0.200"),
        (Gain(UP, HALF), Gain(UP, MUCH, UP), "OFT is better than the hint encoder alone (+0.200"),
        (None, Gain(EVEN, MUCH), "Between OFT and the base alone no difference can be seen (+0.010"),
        (None, Gain(DOWN, MUCH), "OFT is worse than the base alone (−0.200 [−0.300, −0.100])."),
        (
            Gain(EVEN, HALF),
            Gain(UP, MUCH),
            "can show. Between the hint encoder alone and the base alone no difference can be seen",
        ),
        (
            Gain(UP, HALF),
            Gain(EVEN, MUCH),
            "can be seen (+0.010 [−0.020, 0.040]). The hint encoder alone closes",
        ),
    ],
)
def test_what_no_interval_shows_is_not_said(hint: Gain | None, oft: Gain, expected: str) -> None:
    assert expected in words(hint, oft=oft)
    if not oft.difference.excludes_zero or oft.difference.high < 0:
        assert "OFT closes" not in words(hint, oft=oft)


def test_without_a_distance_there_are_differences_alone() -> None:
    text = words(Gain(UP), distance=EVEN, oft=Gain(UP, None, EVEN))
    assert text.startswith("What the autoencoder can show is not beyond the base alone (+0.010")
    assert "OFT is better than the base alone" in text and "%" not in text


def test_the_hint_encoder_may_be_all_there_is() -> None:
    assert words(Gain(UP, HALF)).startswith("The hint encoder alone closes 55 % [47, 62] of the distance")


def test_figure_judge_number_and_method_are_named() -> None:
    gains = MetricGains(all_metrics()["miou"], RECONSTRUCTION, 96, UP, {})
    assert describe_gains(gains, RUNS, "miniature") == [
        "Mean IoU (miniature segmenter) over 96 conditions and one seed, the pixels of each resample counted "
        "together. In brackets: 95 % intervals, paired, by a bootstrap over the conditions."
    ]
    few = MetricGains(all_metrics()["subject_similarity"], REAL, 12, UP, {}, "prompts")
    (line,) = describe_gains(few, RUNS, "elsewhere")
    assert line.startswith("Likeness to the subject (DINO) over 12 prompts and one seed, their mean.")
    assert "with 12 they are narrower than they claim" in line


def test_parts_of_an_adapter_are_named_with_their_share() -> None:
    metrics = {
        "rotation_parameters": 100_000,
        "hint_encoder_parameters": 644_000,
        "magnitude_parameters": 6_000,
        "unused_parameters": 0,
        "trainable_parameters": 750_000,
    }
    assert describe_parameters(RunResults("oft", AdapterWords("OFT"), metrics=metrics)) == (
        "OFT: 750,000 trained parameters: rotations 100,000 (13 %), hint encoder 644,000 (86 %), magnitudes "
        "6,000 (1 %)."
    )
    assert describe_parameters(RUNS[0]) == ""


def test_intervals_read_well() -> None:
    assert format_interval(Interval(0.714, 0.64, 0.781)) == "71 % [64, 78]"
    assert format_interval(Interval(-0.05, -0.2, 1.1)) == "−5 % [−20, 110]"
    assert format_difference(Interval(0.023, -0.004, 0.055)) == "+0.023 [−0.004, 0.055]"
