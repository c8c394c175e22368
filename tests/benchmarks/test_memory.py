"""The measured peak equals the bytes that follow from the shapes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.memory import measure_peak, peak_bytes
from tests.benchmarks.conftest import CPU

KIB = 1 << 10
MIB = 1 << 20
SLACK = 64 * KIB  # scalars and small workspaces


def block(mebibytes: int) -> Tensor:
    return torch.empty(mebibytes * MIB, dtype=torch.uint8)


def peak_of(prepare: Callable[[], Callable[[], object]]) -> int:
    _, peak = measure_peak(prepare, CPU)
    return peak


def test_the_peak_is_the_highest_sum_within_the_interval() -> None:
    changes = [(1, 100), (2, -100), (3, 5), (10, 7), (11, 20), (12, -20), (13, 4), (30, 1000)]
    assert peak_bytes(changes, 10, 20) == 5 + 7 + 20
    assert peak_bytes(changes, 12, 20) == 5 + 7 + 20  # live when the interval starts
    assert peak_bytes(changes, 4, 9) == 5
    assert peak_bytes([], 0, 1) == 0


def test_tensors_alive_at_once_add_up_and_freed_ones_do_not() -> None:
    def action() -> None:
        first, second = block(3), block(2)
        del first
        third = block(4)  # with the second 6, less than both of the others before: 5, so 6 in all
        del second, third

    assert peak_of(lambda: action) == 6 * MIB


def test_what_preparation_keeps_counts_and_what_it_frees_does_not() -> None:
    def prepare() -> Callable[[], object]:
        block(50)
        kept = block(5)
        return lambda: (block(2), kept)

    assert peak_of(prepare) == 7 * MIB


def test_the_first_call_is_not_measured() -> None:
    sizes = iter([40, 3])
    assert peak_of(lambda: lambda: block(next(sizes))) == 3 * MIB


def test_what_was_there_before_does_not_count() -> None:
    before = block(30)
    assert peak_of(lambda: lambda: before.max()) < SLACK


def test_what_is_saved_for_the_backward_pass_counts() -> None:
    rows, width, depth = 256, 1024, 5
    size = rows * width * 4

    def prepare() -> Callable[[], object]:
        x = torch.ones(rows, width, requires_grad=True)

        def action() -> None:
            y = x
            for _ in range(depth):
                y = y.exp()  # saves its output
            y.sum().backward()
            x.grad = None

        return action

    # x, the outputs saved, and at the start of the backward pass at most two gradients.
    saved = (1 + depth) * size
    assert saved <= peak_of(prepare) <= saved + 2 * size + SLACK


def test_workspace_inside_an_operation_counts() -> None:
    size = 512
    matrix = torch.eye(size)
    outputs = size * size * 4
    assert peak_of(lambda: lambda: torch.linalg.inv(matrix)) > outputs * 1.5


def test_it_returns_the_action_that_was_measured() -> None:
    calls = []
    action, _ = measure_peak(lambda: lambda: calls.append(1), CPU)
    action()
    assert len(calls) == 3
