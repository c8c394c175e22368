"""Figures of arms are paired over conditions and seeds."""

from __future__ import annotations

from experiments.claims.statistics import Arm
from oft.evaluation.metric import Metric
from oft.evaluation.registry import find_metric
from tests.experiments.claims.conftest import SEEDS, MakeResults

OFT, LORA = Arm("oft"), Arm("lora")


def test_arms_are_compared_on_the_same_draws(results: MakeResults) -> None:
    """A gain far below how much conditions differ is seen, since every condition is drawn for both."""
    made, metric = results({OFT: 0.02, LORA: 0.0}), _metric("canny_f1")
    figure, difference = (
        made.figure("canny_coco", OFT, metric),
        made.difference("canny_coco", metric, OFT, LORA),
    )

    assert figure is not None
    assert difference is not None
    assert figure.num_seeds == difference.num_seeds == len(SEEDS)
    assert difference.num_conditions == 120
    apart, own = difference.interval(), figure.interval()
    assert apart is not None
    assert own is not None
    assert 0.01 < apart.low < 0.02 < apart.high < 0.03
    assert own.high - own.low > 2 * (apart.high - apart.low)


def test_only_seeds_that_all_arms_have_count(results: MakeResults) -> None:
    """An arm without any seed of the others gives nothing to compare."""
    made = results({OFT: 0.0}, seeds=(0, 1))

    assert made.seeds_of("canny_coco", [OFT]) == (0, 1)
    assert made.paired("canny_coco", _metric("canny_f1"), [OFT, LORA]) is None
    assert made.difference("canny_coco", _metric("canny_f1"), OFT, LORA) is None


def _metric(name: str) -> Metric:
    found = find_metric(name)
    assert found is not None
    return found
