"""Full finetuning: strength lies between the base's weights and the trained ones, and the base comes back."""

from __future__ import annotations

from pathlib import Path

import torch

from oft.models.adapted import init_adapter
from oft.models.base import load_base
from oft.params import Params
from oft.seeding import generator_for


def test_strength_lies_between_base_and_trained_and_loses_neither(base_folder: Path, params: Params) -> None:
    base = load_base(base_folder)
    name = "mid_block.resnets.0.conv1.weight"
    original = base.unet.get_parameter(name).detach().clone()
    adapter = init_adapter(
        base, params.adapters["dreambooth"], with_condition=False, generator=generator_for(0)
    )
    with torch.no_grad():
        base.unet.get_parameter(name).add_(1.0)
    trained = base.unet.get_parameter(name).detach().clone()
    adapter.strength = 0.5
    torch.testing.assert_close(base.unet.get_parameter(name), (original + trained) / 2)
    adapter.strength = 0.0
    assert torch.equal(base.unet.get_parameter(name), original)
    adapter.strength = 1.0
    assert torch.equal(base.unet.get_parameter(name), trained)
    adapter.remove()
    assert torch.equal(base.unet.get_parameter(name), original)


def test_every_weight_is_trained(base_folder: Path, params: Params) -> None:
    base = load_base(base_folder)
    adapter = init_adapter(
        base, params.adapters["dreambooth"], with_condition=False, generator=generator_for(0)
    )
    assert adapter.count_parameters() == {
        "adapter": sum(value.numel() for value in base.unet.parameters()),
        "hint_encoder": 0,
    }
