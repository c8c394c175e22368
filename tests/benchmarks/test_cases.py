"""Cases have names of their own, and their work is counted right."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from benchmarks.cases import Case, all_cases, draw_inputs, forward_flops, target_widths
from oft.adapters import UNET_CONTROL_TARGETS
from tests.benchmarks.conftest import BATCH, CONTEXT_TOKENS, TOKENS, WIDTH


def test_names_are_unique() -> None:
    names = [case.name for case in all_cases()]
    assert len(set(names)) == len(names)


def test_cases_of_one_network_stand_together() -> None:
    names = [case.architecture.name for case in all_cases()]
    changes = sum(before != after for before, after in itertools.pairwise(names))
    assert changes == len(set(names)) - 1


def test_a_block_takes_the_work_of_its_products(tiny_case: Case) -> None:
    tokens, context = BATCH * TOKENS, BATCH * CONTEXT_TOKENS
    projections = 6 * tokens + 2 * context  # q, k, v, out twice, of which k, v once of the context
    feed_forward = (8 + 4) * tokens  # GEGLU to twice four widths, and back from four
    attention = 2 * tokens * (TOKENS + CONTEXT_TOKENS) * WIDTH
    expected = 2 * ((projections + feed_forward) * WIDTH**2 + attention)
    assert forward_flops(tiny_case) == expected


def test_a_step_of_the_frozen_base_is_forward_and_backward(tiny_case: Case) -> None:
    changed = [
        tiny_case,
        replace(tiny_case, checkpointing=True),
        replace(tiny_case, micro_batches=4),
        replace(tiny_case, training=False),
    ]
    forward_tflop = forward_flops(tiny_case) / 1e12
    assert [case.frozen_tflop / forward_tflop for case in changed] == pytest.approx([2, 3, 8, 1])


def test_all_nine_targets_are_counted(tiny_case: Case) -> None:
    assert target_widths(tiny_case.architecture) == [WIDTH] * len(UNET_CONTROL_TARGETS)


def test_inputs_are_equal_for_equal_generators(tiny_case: Case) -> None:
    first, second = (draw_inputs(tiny_case, torch.Generator().manual_seed(3)) for _ in range(2))
    assert [value.shape for value in first] == [tiny_case.input_shape, tiny_case.context_shape]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_miniature_case_fits_its_network() -> None:
    miniature = next(case for case in all_cases() if case.name == "miniature")
    assert forward_flops(miniature) > 0  # runs the network on shapes alone
