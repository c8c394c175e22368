"""Architectures without weights: the sizes and the attention of the published models."""

from __future__ import annotations

import pytest

from oft.models.architectures import UNET_CONFIGS, Architecture, make_controlnet, make_unet

# Of the published weights: unet/ and the ControlNets trained on them.
PUBLISHED: dict[Architecture, tuple[int, int]] = {
    "sd15": (859_520_964, 361_279_120),
    "sd21": (865_910_724, 364_228_240),
    "sdxl": (2_567_463_684, 1_251_014_160),
}
HEADS: dict[Architecture, set[tuple[int, int]]] = {  # (width, heads): parameters do not show them
    "sd15": {(320, 8), (640, 8), (1280, 8)},
    "sd21": {(320, 5), (640, 10), (1280, 20)},
    "sdxl": {(640, 10), (1280, 20)},
}


@pytest.mark.parametrize("architecture", UNET_CONFIGS)
def test_sizes_are_those_of_the_published_weights(architecture: Architecture) -> None:
    unet = make_unet(architecture)
    controlnet = make_controlnet(unet)
    for model, size in zip((unet, controlnet), PUBLISHED[architecture], strict=True):
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
        assert sum(parameter.numel() for parameter in model.parameters()) == size


@pytest.mark.parametrize("architecture", UNET_CONFIGS)
def test_attention_has_the_published_heads(architecture: Architecture) -> None:
    attentions = [
        module for name, module in make_unet(architecture).named_modules() if name.endswith("attn2")
    ]
    assert {(module.to_q.out_features, module.heads) for module in attentions} == HEADS[architecture]
    contexts = {module.to_k.in_features for module in attentions}
    assert contexts == {UNET_CONFIGS[architecture]["cross_attention_dim"]}
