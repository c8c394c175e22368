"""A plan leaves nothing out in silence."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from benchmarks.cases import Case, forward_flops
from benchmarks.plan import MEMORY_STEPS, OVERHEAD, describe_plan, make_plan, match_names, step_tflop
from benchmarks.variants import Variant
from oft.errors import ParamsError
from tests.benchmarks.conftest import CPU, WIDTH


def test_what_exceeds_the_budget_is_left_out_and_said(tiny_case: Case, variants: dict[str, Variant]) -> None:
    large = replace(tiny_case, name="large", micro_batches=1000)
    plan = make_plan([tiny_case, large], [variants["oft-r4"]], [CPU], tiny_case.frozen_tflop)
    assert [item.case.name for item in plan.items] == ["tiny"]
    assert [(entry.case, entry.variant) for entry in plan.left_out] == [("large", None)]
    said = describe_plan(plan, 3, {"cpu": 0.1})
    assert "large: the frozen base's step takes" in said and "--budget allows" in said


def test_a_variant_that_exceeds_the_budget_is_left_out_alone(
    tiny_case: Case, variants: dict[str, Variant]
) -> None:
    plan = make_plan([tiny_case], list(variants.values()), [CPU], tiny_case.frozen_tflop)
    assert [entry.variant for entry in plan.left_out] == ["peft-boft-r4", "peft-boft-b32"]
    assert not {"peft-boft-r4", "peft-boft-b32"} & {variant.name for variant in plan.items[0].variants}


def test_dense_products_are_counted(tiny_case: Case, variants: dict[str, Variant]) -> None:
    products = 3 * 2 * 9 * 2 * WIDTH**3  # of 9 layers, forward and backward
    boft = step_tflop(tiny_case, variants["peft-boft-r4"])
    assert boft * 1e12 == pytest.approx(2 * forward_flops(tiny_case) + products)
    assert step_tflop(tiny_case, variants["oft-r4"]) == tiny_case.frozen_tflop


def test_an_infinite_budget_leaves_nothing_out(tiny_case: Case, variants: dict[str, Variant]) -> None:
    huge = replace(tiny_case, micro_batches=10**9)
    assert make_plan([huge], list(variants.values()), [CPU], math.inf).left_out == ()


def test_a_gpu_has_no_budget_of_its_own(tiny_case: Case, variants: dict[str, Variant]) -> None:
    huge = replace(tiny_case, micro_batches=10**9)
    plan = make_plan([huge], [variants["oft-r4"]], [CPU, torch.device("cuda")], None)
    assert [item.device.type for item in plan.items] == ["cuda"]
    assert [entry.device for entry in plan.left_out] == ["cpu"]


def test_the_frozen_base_always_takes_part_once(tiny_case: Case, variants: dict[str, Variant]) -> None:
    for chosen in (["oft-r4"], ["oft-r4", "frozen"]):
        plan = make_plan([tiny_case], [variants[name] for name in chosen], [CPU], None)
        assert [variant.name for variant in plan.items[0].variants] == ["frozen", "oft-r4"]


def test_steps_and_seconds_follow_from_the_items(tiny_case: Case, variants: dict[str, Variant]) -> None:
    plan = make_plan([tiny_case], [variants["oft-r4"]], [CPU], None)
    steps = 2 * (5 + MEMORY_STEPS)
    assert plan.steps(rounds=5) == steps
    assert plan.seconds(5, {"cpu": 0.5}) == pytest.approx(steps * tiny_case.frozen_tflop / 0.5 * OVERHEAD)


def test_patterns_choose_names_in_their_own_order() -> None:
    names = ["block-1-b1", "block-1-b4", "sd15"]
    assert match_names(None, names, "--cases") == names
    assert match_names(["sd15", "block-*-b1"], names, "--cases") == ["block-1-b1", "sd15"]


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"--cases: 'sdxl' matches none of a, b"):
        match_names(["a", "sdxl"], ["a", "b"], "--cases")
