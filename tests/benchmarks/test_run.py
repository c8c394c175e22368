"""A run measures every variant of a plan and reports what failed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.cases import Case
from benchmarks.plan import Item, make_plan
from benchmarks.run import measure_item, measure_plan
from benchmarks.variants import FROZEN, Variant, all_variants
from tests.benchmarks.conftest import CPU


def fail(network: nn.Module) -> None:
    raise RuntimeError("no kernel\nfor this")


def test_every_variant_of_a_plan_is_measured(tiny_case: Case) -> None:
    plan = make_plan([tiny_case], all_variants(), [CPU], None)
    steps: list[str] = []
    (result,) = measure_plan(plan, 2, 1.0, steps.append)
    assert len(steps) == plan.steps(rounds=2)
    rows = {row["variant"]: row for row in result["rows"]}
    assert not [row for row in rows.values() if "failed" in row]
    assert all(len(row["step_ms"]) == 2 and row["peak_mib"] > 0 for row in rows.values())
    assert {row["adapted_layers"] for row in rows.values()} == {0, 9}
    assert rows["frozen"]["times_frozen"] == 1.0 and rows["frozen"]["trained_parameters"] == 0
    # A dense permutation matrix a layer makes BOFT the largest of those with equal blocks.
    assert rows["peft-boft-r4"]["peak_mib"] > rows["oft-r4"]["peak_mib"] > rows["frozen"]["peak_mib"]


@pytest.mark.parametrize("rounds", [1, 3])
def test_what_cannot_be_built_is_reported_and_others_go_on(
    tiny_case: Case, frozen: nn.Module, rounds: int
) -> None:
    steps: list[str] = []
    item = Item(tiny_case, CPU, (FROZEN, Variant("bad", "a bad one", fail)))
    result = measure_item(item, frozen, rounds, 1.0, steps.append)
    good, bad = result["rows"]
    assert bad == {"variant": "bad", "title": "a bad one", "failed": "RuntimeError: no kernel"}
    assert "failed" not in good and len(good["step_ms"]) == rounds
    assert len(steps) == 2 * (rounds + 2)


def test_a_variant_that_diverges_is_reported(tiny_case: Case, frozen: nn.Module) -> None:
    def spoil(network: nn.Module) -> None:
        linear = network.get_submodule("ff.net.2")
        assert isinstance(linear, nn.Linear)
        linear.weight = nn.Parameter(torch.full_like(linear.weight, torch.nan))

    result = measure_item(Item(tiny_case, CPU, (FROZEN, Variant("bad", "bad", spoil))), frozen, 1, 0.0)
    good, bad = result["rows"]
    assert "failed" not in good
    assert bad["failed"] == "FloatingPointError: a result is not finite"
