"""A verdict says what its intervals say, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.claims.findings import Verdict
from experiments.claims.statistics import Arm
from experiments.claims.verdicts import Comparison, Side, Statement, judge, judged, verdict_of, verdict_of_all
from experiments.paired import MeanFigure
from oft.evaluation.intervals import Interval
from tests.experiments.claims.conftest import MakeResults

OFT, LORA, FULL = Arm("oft"), Arm("lora"), Arm("full")
TASK = "canny_coco"


def statement(*comparisons: Comparison) -> Statement:
    return Statement("name", "title", "question?", "paper", "differs", comparisons)


@pytest.mark.parametrize(
    ("interval", "expected", "verdict"),
    [
        (Interval(1, 0.5, 2), "above", "holds"),
        (Interval(1, 0.5, 2), "below", "does not hold"),
        (Interval(-1, -2, -0.5), "below", "holds"),
        (Interval(1, -0.5, 2), "above", "undecided"),
        (Interval(1, 0.0, 2), "above", "undecided"),
        (None, "above", "undecided"),
    ],
)
def test_an_interval_decides_where_it_lies_on_one_side(
    interval: Interval | None, expected: Side, verdict: Verdict
) -> None:
    """Nothing is decided by an interval that holds 0, or by a number that has none."""
    assert verdict_of(interval, expected, num_seeds=3) == verdict
    assert verdict_of(interval, expected, num_seeds=2) == "undecided"


def test_a_claim_holds_where_all_its_comparisons_do() -> None:
    """Beside one that says the opposite it holds in part; one not measured keeps it from holding."""
    assert verdict_of_all(["holds", "holds"]) == "holds"
    assert verdict_of_all(["holds", "holds"], num_missing=1) == "undecided"
    assert verdict_of_all(["holds", "undecided"]) == "undecided"
    assert verdict_of_all(["holds", "does not hold", "undecided"]) == "holds in part"
    assert verdict_of_all(["does not hold", "undecided"], num_missing=1) == "does not hold"
    assert verdict_of_all([], num_missing=2) == "not measured"


def test_a_gain_is_found_and_none_is_not(results: MakeResults) -> None:
    """OFT beats LoRA by more than noise and the full finetuning by nothing."""
    found = results({OFT: 0.02, LORA: 0.0, FULL: 0.02})

    claim = judge(statement(Comparison(TASK, OFT, LORA), Comparison(TASK, OFT, FULL)), found)

    assert [contrast.verdict for contrast in claim.contrasts] == ["holds", "undecided"]
    assert claim.verdict == "undecided"
    assert claim.answer.startswith("Undecided: OFT − LoRA +0.0")
    assert claim.contrasts[0].num_conditions == 120
    assert judge(statement(Comparison(TASK, LORA, OFT)), found).verdict == "does not hold"


def test_lower_is_better_where_the_metric_says_so(results: MakeResults) -> None:
    """Numbers of whole runs have Student's interval over seeds; drift should lie below."""
    found = results({OFT: 0.0, LORA: 0.0}, drift={OFT: 0.1, LORA: 0.3})

    claim = judge(statement(Comparison(TASK, OFT, LORA, "drift")), found)

    assert claim.verdict == "holds"
    assert claim.contrasts[0].expected == "below"
    assert claim.contrasts[0].estimate.value == pytest.approx(-0.2)
    assert claim.contrasts[0].num_seeds == 3


def test_what_spans_orders_of_magnitude_is_compared_by_its_ratio(results: MakeResults) -> None:
    """Factors that differ between trainings are told apart where differences are not."""
    found = results({OFT: 0.0, LORA: 0.0}, energy_change={OFT: 1e-2, LORA: 1.0})

    claim = judge(statement(Comparison(TASK, OFT, LORA, "energy_change", ratio=True)), found)

    assert claim.verdict == "holds"
    assert claim.contrasts[0].label == "OFT / LoRA"
    assert claim.contrasts[0].metric_title == "Change of hyperspherical energy, log₁₀ of the ratio"
    assert claim.contrasts[0].estimate.value == pytest.approx(-2.0, abs=0.1)


def test_a_gain_of_one_seed_decides_nothing(results: MakeResults) -> None:
    """It has an interval over its conditions, and says nothing of other trainings."""
    claim = judge(statement(Comparison(TASK, OFT, LORA)), results({OFT: 0.1, LORA: 0.0}, seeds=(0,)))

    assert claim.verdict == "undecided"
    assert claim.contrasts[0].estimate.low is not None
    assert claim.contrasts[0].estimate.low > 0
    assert claim.answer.startswith("Undecided, as a verdict takes 3 seeds and there is 1: OFT − LoRA +0.")


def test_one_seed_decides_nothing_of_numbers_of_whole_runs(results: MakeResults) -> None:
    """There is a value and no interval."""
    found = results({OFT: 0.0, LORA: 0.0}, seeds=(0,), drift={OFT: 0.1, LORA: 0.3})

    claim = judge(statement(Comparison(TASK, OFT, LORA, "drift")), found)

    assert claim.verdict == "undecided"
    assert claim.contrasts[0].estimate.low is None
    assert claim.answer.startswith(
        "Undecided, as a verdict takes 3 seeds and there is 1: OFT − LoRA −0.200 ("
    )


def test_the_same_run_before_and_after_is_compared_by_a_suffix(results: MakeResults) -> None:
    """What fitting magnitudes does to a distance that is a number of the whole run."""
    found = results({OFT: 0.0}, frechet_distance={OFT: 1.0}, frechet_distance_before_magnitudes={OFT: 1.5})

    comparison = Comparison(TASK, OFT, OFT, "frechet_distance", "_before_magnitudes")
    claim = judge(statement(comparison), found)

    assert claim.verdict == "holds"
    assert claim.contrasts[0].label == "OFT: after − before magnitudes"


def test_nothing_is_said_of_what_was_not_measured(results: MakeResults) -> None:
    """Neither a verdict nor a contrast."""
    claim = judge(statement(Comparison(TASK, OFT, LORA)), results({OFT: 0.0}))

    assert claim.verdict == "not measured"
    assert claim.contrasts == ()


def test_each_comparison_is_judged_alone_and_says_whether_it_stands_at_once_with_others() -> None:
    """Three trainings that agree well enough for one comparison, and not for one of six."""
    figure = MeanFigure(np.array([0.18, 0.13, 0.22]), np.zeros(2), 96)

    alone, with_others = (judged(figure, "above", 0.95, num_compared) for num_compared in (1, 6))

    assert alone.estimate == with_others.estimate
    assert (alone.verdict, with_others.verdict) == ("holds", "holds")
    assert (alone.stands_at_once, with_others.stands_at_once) == (True, False)


def test_what_is_undecided_does_not_stand() -> None:
    """However surely its interval lies off 0, two trainings decide nothing."""
    two = MeanFigure(np.array([0.2, 0.2001]), np.zeros(2), 96)

    found = judged(two, "above", 0.95, 1)

    assert found.estimate.low is not None
    assert found.estimate.low > 0
    assert (found.verdict, found.stands_at_once) == ("undecided", False)
