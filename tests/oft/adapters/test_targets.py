from __future__ import annotations

import pytest
from torch import nn

from oft.adapters.attaching import freeze
from oft.adapters.oft.targets import find_targets
from oft.errors import ParamsError
from tests.oft.conftest import Mlp


def test_targets_are_found_by_the_end_of_their_name(mlp: Mlp) -> None:
    root = nn.ModuleDict({"a": mlp, "not_to_q": nn.Linear(2, 2), "to_q": nn.Linear(2, 2)})
    assert list(find_targets(root, ("to_q", "to_out.0"))) == ["a.to_q", "a.to_out.0", "to_q"]


def test_a_pattern_without_a_layer_is_named_with_what_is_near(mlp: Mlp) -> None:
    with pytest.raises(ParamsError, match=r"'to_p' names none of Mlp's; layers near it: to_q"):
        find_targets(mlp, ("to_q", "to_p"))


def test_a_string_is_an_expression_for_whole_names(mlp: Mlp) -> None:
    assert list(find_targets(mlp, r"to_(q|out\.\d)")) == ["to_q", "to_out.0"]
    with pytest.raises(ParamsError, match=r"'to' names none of Mlp's"):
        find_targets(mlp, "to")
    with pytest.raises(ParamsError, match=r"regular expression for whole names, and 'to\(' is none"):
        find_targets(mlp, "to(")


def test_layers_that_share_a_weight_are_refused(mlp: Mlp) -> None:
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    model["b"].weight = model["a"].weight
    with pytest.raises(ParamsError, match="'a' and 'b' share one"):
        find_targets(model, ("a", "b"))
    assert list(find_targets(model, ("a",))) == ["a"]


def test_a_module_of_another_class_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"'conv' matches 'conv', a Conv1d"):
        find_targets(nn.ModuleDict({"conv": nn.Conv1d(1, 1, 1)}), ("conv",))


def test_a_layer_whose_forward_was_replaced_is_refused(mlp: Mlp) -> None:
    # An offloading hook does this, and would bypass ours.
    mlp.to_q.forward = mlp.to_q.forward  # type: ignore[method-assign]
    with pytest.raises(ParamsError, match="forward was replaced"):
        find_targets(mlp, ("to_q",))


def test_freezing_keeps_what_it_is_told(mlp: Mlp) -> None:
    mlp.head.bias.requires_grad_(False)
    freeze(mlp, keep=("head",))
    assert [name for name, parameter in mlp.named_parameters() if parameter.requires_grad] == ["head.weight"]
