"""Every arm starts as the encoder and trains the same layers."""

from __future__ import annotations

import pytest
import torch

from experiments.text.arms import ARMS, check_arms, put_on
from experiments.text.encoder import embed_all
from experiments.text.inputs import Inputs, read_inputs
from oft.errors import ParamsError
from tests.experiments.text.conftest import World

ADAPTERS = [name for name in ARMS if name != "none"]


@pytest.fixture(scope="module")
def inputs(world: World) -> Inputs:
    return read_inputs(world.settings, world.wheels, pins=world.pins)


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_starts_as_the_encoder(name: str, inputs: Inputs) -> None:
    rows = inputs.test["r8"].rows
    model = inputs.copy_model()
    put_on(model, name, seed=0)
    assert torch.allclose(embed_all(model, rows), embed_all(inputs.encoder.model, rows), atol=1e-5)


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_arm_changes_the_six_linears_of_each_block_and_nothing_else(name: str, inputs: Inputs) -> None:
    model = inputs.copy_model()
    arm = put_on(model, name, seed=0)
    assert arm.adapter is not None and len(arm.layers) == 12
    with torch.no_grad():
        for parameter in arm.trained.values():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) / 10)
    if hasattr(arm.adapter, "rotations"):
        arm.adapter.rotations.project()
    with arm.adapter.merging():
        changed = {
            layer
            for layer in arm.layers
            if not torch.equal(
                model.get_parameter(f"{layer}.weight"), inputs.encoder.model.get_parameter(f"{layer}.weight")
            )
        }
    arm.adapter.remove() if name != "full" else None
    assert changed == set(arm.layers)
    own = dict(inputs.encoder.model.named_parameters())
    for key, value in model.named_parameters():
        assert key.removesuffix(".weight") in changed or torch.equal(value, own[key])


def test_unknown_and_repeated_arms_are_refused() -> None:
    for names in ([], ["oft", "oft"], ["adapter"]):
        with pytest.raises(ParamsError, match="adapters: must be some of none, oft"):
            check_arms(names)
