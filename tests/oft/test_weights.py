"""What every loader refuses: names, shapes and types that are not the network's, and values that are none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from oft.errors import CheckpointError
from oft.weights import check_numbers, check_weights, meta_weights

State = dict[str, Tensor]


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def lose(state: State) -> None:
    del state["0.bias"]


def add(state: State) -> None:
    state["2.bias"] = torch.zeros(1)


def reshape(state: State) -> None:
    state["0.weight"] = torch.zeros(3, 4)


def make_whole(state: State) -> None:
    state["0.weight"] = torch.zeros(3, 2, dtype=torch.int64)


def make_boolean(state: State) -> None:
    state["1.bias"] = torch.zeros(3, dtype=torch.bool)


def make_eighth(state: State) -> None:
    state["0.weight"] = torch.zeros(3, 2, dtype=torch.float8_e4m3fn)


def count_in_fractions(state: State) -> None:
    state["1.num_batches_tracked"] = torch.tensor(0.5)


def spoil(state: State) -> None:
    state["0.weight"][1, 1] = torch.nan


def overflow(state: State) -> None:
    state["1.running_mean"][0] = -torch.inf


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lose, r"1 missing: 0\.bias"),
        (add, r"1 unexpected: 2\.bias"),
        (reshape, r"1 of another shape: 0\.weight is \[3, 4\], not \[3, 2\]"),
        (make_whole, r"1 of no type float16, .*: 0\.weight \(int64\)"),
        (make_boolean, r"1 of no type float16, .*: 1\.bias \(bool\)"),
        (make_eighth, r"1 of no type float16, .*: 0\.weight \(float8_e4m3fn\)"),
        (count_in_fractions, r"1 of no type .*: 1\.num_batches_tracked"),
        (spoil, r"1 not finite \(NaN or Inf\): 0\.weight"),
        (overflow, r"1 not finite \(NaN or Inf\): 1\.running_mean"),
    ],
)
def test_each_fault_is_counted_and_named(
    network: nn.Module, damage: Callable[[State], None], said: str
) -> None:
    state = {name: value.clone() for name, value in network.state_dict().items()}
    check_weights("file", network.state_dict(), state, "fetch it again")
    damage(state)
    with pytest.raises(
        CheckpointError, match=rf"^file must have the 7 weights of the model, and has {said}; fetch"
    ):
        check_weights("file", network.state_dict(), state, "fetch it again")


def test_all_faults_are_told_at_once_and_long_lists_are_cut(network: nn.Module) -> None:
    state = {f"x{i}": torch.zeros(1) for i in range(5)}
    with pytest.raises(CheckpointError) as raised:
        check_weights("file", network.state_dict(), state, "fetch it again")
    assert "7 missing: 0.weight, 0.bias, 1.weight, ...; 5 unexpected: x0, x1, x2, ...;" in str(raised.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_point_type_will_do(network: nn.Module, dtype: torch.dtype) -> None:
    state = {n: v.to(dtype) if v.is_floating_point() else v for n, v in network.state_dict().items()}
    check_weights("file", network.state_dict(), state, "")


def test_weights_without_values_are_held_against_shapes_alone() -> None:
    expected = meta_weights({"a": (2, 3)})
    check_weights("file", expected, meta_weights({"a": (2, 3)}), "")
    with pytest.raises(CheckpointError, match=r"a is \[3\], not \[2, 3\]"):
        check_weights("file", expected, meta_weights({"a": (3,)}), "")


def test_numbers_are_finite_and_floating_point() -> None:
    check_numbers("file", {"a": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"^file must hold finite numbers, and has 1 of no type .* a "):
        check_numbers("file", {"a": torch.zeros(2, dtype=torch.int32)})
    with pytest.raises(CheckpointError, match=r"1 not finite \(NaN or Inf\): b; copy"):
        check_numbers("file", {"a": torch.zeros(2), "b": torch.tensor([torch.inf])})
