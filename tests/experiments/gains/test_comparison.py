"""What a comparison says of adapters whose gains are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from experiments.gains.comparison import (
    Estimate,
    Resampling,
    TaskRuns,
    compare_task,
    magnitude_gains,
    rank_settings,
)
from experiments.gains.scores import Measured
from oft.errors import DataError

from .conftest import MakeMeasured

FEW = Resampling(num_resamples=500)
END = "VAE reconstruction"


def runs_of(measured: MakeMeasured, gains: dict[str, float], num_seeds: int = 3) -> TaskRuns:
    """Return runs of arms that score so much above the base, on thirty conditions a seed."""
    rng = np.random.default_rng(0)
    arms: dict[str, list[Measured]] = {name: [] for name in gains}
    for _ in range(num_seeds):
        hard = rng.normal(0.2, 0.02, 30)
        for name, gain in gains.items():
            arms[name].append(measured(list(hard + gain), list(hard + 0.6)))
    return TaskRuns(
        "task", "canny", "world", tuple(range(num_seeds)), arms, "hint" if "hint" in gains else None
    )


def by_quantity(estimates: Sequence[Estimate]) -> dict[str, Estimate]:
    return {estimate.quantity: estimate for estimate in estimates}


def test_gains_and_their_shares_of_the_distance_to_the_reconstruction(measured: MakeMeasured) -> None:
    runs = runs_of(measured, {"none": 0.0, "hint": 0.2, "oft": 0.4})
    found = by_quantity(compare_task(runs, FEW))
    for quantity, value in {
        "oft - the base": 0.4,
        "hint - the base": 0.2,
        "oft - hint": 0.2,
        f"(oft - the base) / ({END} - the base)": 2 / 3,
        f"(oft - hint) / ({END} - hint)": 1 / 2,
        f"(hint - the base) / ({END} - the base)": 1 / 3,
    }.items():
        estimate = found[quantity]
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((value,) * 3), quantity
        assert list(estimate.by_seed.values()) == pytest.approx([value] * 3)
    base, ratio = found["the base"].value, found["oft / the base"]
    assert base is not None and ratio.value == pytest.approx((base + 0.4) / base)
    assert found["the base"].num_conditions == 90
    assert "the base / the base" not in found and "hint - hint" not in found


@pytest.mark.parametrize("base", [0.6, 0.7])
def test_no_share_is_given_of_a_distance_that_leads_nowhere_better(
    measured: MakeMeasured, base: float
) -> None:
    found = by_quantity(compare_task(runs_of(measured, {"none": base, "oft": 0.6}), FEW))
    share = found[f"(oft - the base) / ({END} - the base)"]
    assert (share.value, share.low, share.by_seed) == (None, None, {})
    assert f"{END} - the base is no improvement beyond chance" in share.note


def test_where_lower_is_better_a_distance_leads_down(measured: MakeMeasured) -> None:
    def run(error: float) -> Measured:
        return measured([error, error + 1, error + 2], [10, 11, 12], "depth_rmse")

    runs = TaskRuns("task", "depth", "world", (0,), {"none": [run(50)], "oft": [run(30)]})
    share = by_quantity(compare_task(runs, FEW))[f"(oft - the base) / ({END} - the base)"]
    assert share.value == pytest.approx(1 / 2)


def test_a_subject_s_distance_leads_to_the_likeness_of_its_own_pictures(measured: MakeMeasured) -> None:
    def run(score: float) -> Measured:
        return measured(
            [score] * 2,
            metric="subject_similarity",
            subject_similarity_real=0.8,
            subject_similarity_reconstruction=0.7,
        )

    arms = {"none": [run(0.2)] * 2, "oft": [run(0.5)] * 2}
    found = by_quantity(compare_task(TaskRuns("task", "subject", "world", (0, 1), arms), FEW))
    assert found["(oft - the base) / (real pictures - the base)"].value == pytest.approx(1 / 2)
    assert found[END].value == pytest.approx(0.7)
    assert found["oft"].num_conditions == 2, "both seeds have the same prompts"


def test_a_score_that_no_two_conditions_have_in_every_row_is_said_to_be_missing(
    measured: MakeMeasured,
) -> None:
    arms = {"none": [measured([0.1, None, 0.3])], "oft": [measured([None, 0.2, 0.3])]}
    (estimate,) = compare_task(TaskRuns("task", "canny", "world", (0,), arms), FEW)
    assert (estimate.metric, estimate.value) == ("canny_f1", None)
    assert "fewer than two conditions" in estimate.note
    with pytest.raises(DataError, match=r"fewer than two conditions .* cannot be ranked"):
        rank_settings(TaskRuns("task", "canny", "world", (0,), arms), FEW)


def test_without_base_or_hint_their_comparisons_are_left_out(measured: MakeMeasured) -> None:
    found = by_quantity(compare_task(runs_of(measured, {"oft": 0.4}), FEW))
    assert set(found) == {"oft", END, "real pictures", f"oft / {END}"}


def test_magnitudes_gain_what_they_take_off_the_loss(measured: MakeMeasured) -> None:
    def run(before: float, after: float) -> Measured:
        return measured([0.1, 0.2], val_loss_before=before, val_loss_after=after)

    fitted = [run(0.5, 0.4), run(0.6, 0.4), run(0.7, 0.4)]
    runs = TaskRuns("task", "canny", "world", (0, 1, 2), {"oft": fitted, "hint": [run(0.5, 0.5)] * 3})
    gain = by_quantity(magnitude_gains(runs, 0.95))["oft, magnitudes: before - after"]
    assert gain.value == pytest.approx(0.2)
    assert gain.low == pytest.approx(0.2 - 4.3027 * 0.1 / np.sqrt(3), abs=1e-4)
    assert {one.quantity.partition(",")[0] for one in magnitude_gains(runs, 0.95)} == {"oft"}
    alone = TaskRuns("task", "canny", "world", (0,), {"oft": fitted[:1]})
    assert all(one.low is None and "one seed" in one.note for one in magnitude_gains(alone, 0.95))


def test_settings_come_best_first_with_how_far_each_is_behind(measured: MakeMeasured) -> None:
    metric, rows = rank_settings(runs_of(measured, {"slow": 0.1, "fast": 0.3, "middle": 0.2}, 1), FEW)
    assert metric == "canny_f1"
    assert [row.setting for row in rows] == ["fast", "middle", "slow"]
    assert (rows[0].behind, rows[0].behind_low, rows[0].behind_high) == (0, 0, 0)
    assert (rows[2].behind, rows[2].behind_high) == pytest.approx((-0.2, -0.2))
