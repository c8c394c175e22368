"""Counts are those of what would be trained: our own adapters put on a model, and PEFT's."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from oft.adapters.hint.encoder import HintEncoder, proportional_widths
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.module import inject_oft
from oft.adapters.targets import UNET_CONTROL_TARGETS, UNET_SUBJECT_TARGETS
from oft.errors import ParamsError
from oft.models.counts import count_controlnet, count_lora, count_oft, count_parameters

CONFIGS = [
    OFTConfig(UNET_CONTROL_TARGETS, num_blocks=4),
    OFTConfig(UNET_CONTROL_TARGETS, num_blocks=2, block_share=True),
    OFTConfig(UNET_SUBJECT_TARGETS, block_size=8),
]


def trained(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("config", CONFIGS)
def test_oft_counts_what_an_injected_adapter_trains(unet: Any, config: OFTConfig) -> None:
    counted = count_oft(unet, config, with_condition=False)
    assert counted.base == count_parameters(unet)
    adapter = inject_oft(unet, config)
    assert counted.trained == {"rotation": trained(unet), "hint_encoder": 0}
    assert counted.layers == len(adapter.adapter_parameters())


@pytest.mark.parametrize("config", CONFIGS)
def test_oft_counts_what_peft_trains(unet: Any, config: OFTConfig) -> None:
    import peft

    theirs = peft.OFTConfig(
        r=config.num_blocks or 0,
        oft_block_size=config.block_size or 0,
        target_modules=list(config.target_modules),
        block_share=config.block_share,
    )
    counted = count_oft(unet, config, with_condition=False)
    assert counted.trained["rotation"] == trained(peft.get_peft_model(copy.deepcopy(unet), theirs))


@pytest.mark.parametrize("targets", [UNET_CONTROL_TARGETS, UNET_SUBJECT_TARGETS])
@pytest.mark.parametrize("rank", [1, 6])
def test_lora_counts_what_peft_trains(unet: Any, targets: tuple[str, ...], rank: int) -> None:
    import peft

    counted = count_lora(unet, targets, rank, with_condition=False)
    model = peft.get_peft_model(copy.deepcopy(unet), peft.LoraConfig(r=rank, target_modules=list(targets)))
    assert counted.trained == {"lora": trained(model), "hint_encoder": 0}
    assert counted.layers == sum(name.endswith("lora_A.default") for name, _ in model.named_modules())


def test_a_condition_adds_the_hint_encoder(unet: Any, generator: torch.Generator) -> None:
    encoder = HintEncoder(out_channels=unet.config.block_out_channels[0], generator=generator)
    for counted in (
        count_oft(unet, CONFIGS[0], with_condition=True),
        count_lora(unet, UNET_CONTROL_TARGETS, 4, with_condition=True),
    ):
        assert counted.trained["hint_encoder"] == count_parameters(encoder)
        assert counted.to_json()["total"] == sum(counted.trained.values())


def test_the_hint_encoder_is_controlnets(unet: Any) -> None:
    from diffusers import ControlNetModel

    # ControlNet's embedding has each width but the last twice.
    widths = proportional_widths(unet.config.block_out_channels[0])[::2]
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=widths)
    counted = count_controlnet(unet, controlnet)
    ours = count_oft(unet, CONFIGS[0], with_condition=True)
    assert counted.trained["hint_encoder"] == ours.trained["hint_encoder"]
    assert counted.to_json()["total"] == trained(controlnet)
    assert counted.base == ours.base and counted.layers == 0


def test_models_without_values_are_counted_alike(unet: Any) -> None:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        meta = UNet2DConditionModel.from_config(unet.config)
    assert count_oft(meta, CONFIGS[0], with_condition=True) == count_oft(
        unet, CONFIGS[0], with_condition=True
    )


def test_a_rank_below_one_is_refused(unet: Any) -> None:
    with pytest.raises(ParamsError, match="rank must be at least 1, got 0"):
        count_lora(unet, UNET_CONTROL_TARGETS, 0, with_condition=False)
