"""The denoisers people adapt, by name, as networks without weights: their sizes, and nothing to download."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from diffusers import ControlNetModel, UNet2DConditionModel

Architecture = Literal["sd15", "sd21", "sdxl"]

# What shapes the network in unet/config.json of stable-diffusion-v1-5, stable-diffusion-2-1 and
# stable-diffusion-xl-base-1.0; what is left out has the default of diffusers' UNet2DConditionModel there.
_COMMON: Mapping[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
}
_FOUR_LEVELS: Mapping[str, Any] = {
    **_COMMON,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
}
UNET_CONFIGS: Mapping[Architecture, Mapping[str, Any]] = {
    "sd15": {
        **_FOUR_LEVELS,
        "sample_size": 64,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    "sd21": {
        **_FOUR_LEVELS,
        "sample_size": 96,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
        "upcast_attention": True,
    },
    "sdxl": {
        **_COMMON,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "sample_size": 128,
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "transformer_layers_per_block": (1, 2, 10),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}


def make_unet(architecture: Architecture) -> UNet2DConditionModel:
    """Return the architecture's UNet on torch's meta device: every module and shape, no values."""
    import torch
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel(**UNET_CONFIGS[architecture])


def make_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """Return the ControlNet (arXiv 2302.05543) of a UNet, on the meta device."""
    import torch
    from diffusers import ControlNetModel

    with torch.device("meta"):
        return ControlNetModel.from_unet(unet, load_weights_from_unet=False)
