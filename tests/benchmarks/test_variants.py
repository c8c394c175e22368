"""Variants are comparable: the same layers of the same weights, all trained, the base left alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from benchmarks.cases import Case, draw_inputs
from benchmarks.step import Step
from benchmarks.variants import (
    FROZEN,
    Variant,
    all_variants,
    count_adapted_layers,
    make_adapted,
    trained_parameters,
    variants_for,
    weight_sharing_copy,
)
from oft.adapters import UNET_CONTROL_TARGETS

ADAPTERS = [variant for variant in all_variants() if variant is not FROZEN]
TRAINED = variants_for(training=True, chosen=ADAPTERS)


def by_name(variant: Variant) -> str:
    return variant.name


@pytest.mark.parametrize("variant", ADAPTERS, ids=by_name)
def test_every_variant_adapts_the_same_layers(variant: Variant, frozen: nn.Module) -> None:
    assert count_adapted_layers(frozen) == 0
    assert count_adapted_layers(make_adapted(variant, frozen)) == len(UNET_CONTROL_TARGETS)


@pytest.mark.parametrize("variant", TRAINED, ids=by_name)
def test_a_step_moves_every_trained_parameter_and_nothing_of_the_base(
    variant: Variant, frozen: nn.Module, tiny_case: Case
) -> None:
    base_before = copy.deepcopy(frozen.state_dict())
    step = Step(tiny_case, variant, frozen, clip_norm=1.0)
    before = [parameter.detach().clone() for parameter in step.trained]
    fixed = [parameter for parameter in step.network.parameters() if not parameter.requires_grad]
    fixed_before = [parameter.detach().clone() for parameter in fixed]
    step()
    assert before
    for parameter, initial in zip(step.trained, before, strict=True):
        # AdamW's first step goes by the learning rate wherever there is a gradient; decay alone is far less.
        assert (parameter - initial).abs().max() > 0.5e-4
    for parameter, initial in zip(fixed, fixed_before, strict=True):
        assert torch.equal(parameter, initial)
    for name, value in frozen.state_dict().items():
        assert torch.equal(value, base_before[name])


@pytest.mark.parametrize("variant", TRAINED, ids=by_name)
def test_an_adapted_network_adds_no_memory_for_the_weights_of_the_base(
    variant: Variant, frozen: nn.Module
) -> None:
    of_base = {parameter.data_ptr() for parameter in frozen.parameters()}
    network = make_adapted(variant, frozen)
    fixed = [parameter for parameter in network.parameters() if not parameter.requires_grad]
    assert {parameter.data_ptr() for parameter in fixed} == of_base


def test_variants_start_off_the_identity(frozen: nn.Module) -> None:
    for variant in TRAINED:
        for parameter in trained_parameters(make_adapted(variant, frozen)):
            assert parameter.std() > 0


@pytest.mark.parametrize("blocks", ["r4", "r8", "b32"])
def test_ours_and_pefts_train_equally_many_parameters(
    blocks: str, frozen: nn.Module, variants: dict[str, Variant]
) -> None:
    counts = {
        name: sum(parameter.numel() for parameter in trained_parameters(make_adapted(variants[name], frozen)))
        for name in (f"oft-{blocks}", f"peft-oft-{blocks}", f"peft-oft-{blocks}-neumann")
    }
    assert len(set(counts.values())) == 1


def test_merged_is_unmerged_and_leaves_the_base_alone(
    frozen: nn.Module, tiny_case: Case, variants: dict[str, Variant], generator: torch.Generator
) -> None:
    inputs = draw_inputs(tiny_case, generator)
    forward = tiny_case.architecture.forward
    with torch.no_grad():
        before = forward(frozen, inputs)
        unmerged = forward(make_adapted(variants["oft-r4"], frozen), inputs)
        merged = forward(make_adapted(variants["oft-r4-merged"], frozen), inputs)
        after = forward(frozen, inputs)
    assert torch.equal(before, after)
    assert not torch.allclose(before, unmerged, atol=1e-5)
    torch.testing.assert_close(merged, unmerged, atol=1e-5, rtol=1e-5)


def test_ours_and_pefts_exact_path_are_one_function(
    frozen: nn.Module, tiny_case: Case, variants: dict[str, Variant], generator: torch.Generator
) -> None:
    # Equal draws fill equal shapes in the model's order, so both carry the same parameters.
    inputs = draw_inputs(tiny_case, generator)
    with torch.no_grad():
        ours, theirs = (
            tiny_case.architecture.forward(make_adapted(variants[name], frozen), inputs)
            for name in ("oft-r4", "peft-oft-r4")
        )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_copy_shares_memory_and_may_be_rebound(frozen: nn.Module) -> None:
    twin = weight_sharing_copy(frozen)
    parameter, original = next(twin.parameters()), next(frozen.parameters())
    assert parameter is not original
    assert parameter.data_ptr() == original.data_ptr()
    kept = original.detach().clone()
    parameter.data = torch.zeros_like(parameter)
    assert torch.equal(original, kept)


def test_training_takes_no_merged_variant_and_inference_its_own(variants: dict[str, Variant]) -> None:
    chosen = list(variants.values())
    assert not any(variant.merged for variant in variants_for(training=True, chosen=chosen))
    assert [variant.name for variant in variants_for(training=False, chosen=chosen)] == [
        "frozen",
        "oft-r4",
        "oft-r4-merged",
        "peft-oft-r4",
        "peft-oft-r4-neumann",
        "lora-r16",
    ]


def test_names_are_unique() -> None:
    names = [variant.name for variant in all_variants()]
    assert len(set(names)) == len(names)
