"""The models people adapt, by name, as networks without weights: their sizes, and nothing to download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from oft.models.copying import TOKENIZERS
from oft.models.vocabulary import END_PAD, ZERO_PAD, write_tokenizer

if TYPE_CHECKING:
    from diffusers import ControlNetModel, UNet2DConditionModel

Architecture = Literal["sd15", "sd21", "sdxl"]
# Checkpoints of one architecture differ in what they predict and at what size: sd21-base noise at 512 pixels,
# sd21 velocity at 768.
CheckpointName = Literal["sd15", "sd21", "sd21-base", "sdxl"]
ARCHITECTURES: Mapping[CheckpointName, Architecture] = {
    "sd15": "sd15",
    "sd21": "sd21",
    "sd21-base": "sd21",
    "sdxl": "sdxl",
}
"""The architecture of each checkpoint that ships its configurations here."""
_SIDES_PX: Mapping[CheckpointName, int] = {"sd15": 512, "sd21": 768, "sd21-base": 512, "sdxl": 1024}

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

# Likewise of vae/, text_encoder/, text_encoder_2/ and scheduler/. All autoencoders have the same shapes.
_AUTOENCODER: Mapping[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
}
_SCALING_FACTORS: Mapping[Architecture, float] = {"sd15": 0.18215, "sd21": 0.18215, "sdxl": 0.13025}
_VOCABULARY: Mapping[str, Any] = {"vocab_size": 49408, "max_position_embeddings": 77}
_CLIP_L: Mapping[str, Any] = {
    **_VOCABULARY,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
}
_TEXT_ENCODERS: Mapping[Architecture, Mapping[str, Any]] = {
    "sd15": _CLIP_L,
    "sdxl": _CLIP_L,
    # The last of OpenCLIP's 24 layers is not used.
    "sd21": {
        **_VOCABULARY,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "hidden_act": "gelu",
        "projection_dim": 512,
    },
}
_TEXT_ENCODERS_2: Mapping[Architecture, Mapping[str, Any]] = {
    # OpenCLIP's ViT-bigG/14.
    "sdxl": {
        **_VOCABULARY,
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "hidden_act": "gelu",
        "projection_dim": 1280,
    },
}
# Likewise of tokenizer/ and tokenizer_2/: what prompts are filled up with. The vocabulary is the same in all.
_PAD_TOKENS: Mapping[Architecture, tuple[str, ...]] = {
    "sd15": (END_PAD,),
    "sd21": (ZERO_PAD,),
    "sdxl": (END_PAD, ZERO_PAD),
}
_NOISE_SCHEDULE: Mapping[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
_NOISE_SCHEDULE_XL: Mapping[str, Any] = {
    **{name: _NOISE_SCHEDULE[name] for name in ("beta_start", "beta_end", "beta_schedule", "steps_offset")},
    "timestep_spacing": "leading",
}


def write_configs(name: CheckpointName, folder: Path) -> None:
    """Write the configuration of each network and of the scheduler of a checkpoint, in diffusers' layout."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig

    architecture = ARCHITECTURES[name]
    side_px = _SIDES_PX[name]
    with torch.device("meta"):
        unet = UNet2DConditionModel(**{**UNET_CONFIGS[architecture], "sample_size": side_px // 8})
        vae = AutoencoderKL(
            **_AUTOENCODER, sample_size=side_px, scaling_factor=_SCALING_FACTORS[architecture]
        )
    unet.save_config(folder / "unet")
    vae.save_config(folder / "vae")
    text_encoder = CLIPTextConfig(**_TEXT_ENCODERS[architecture])
    text_encoder.save_pretrained(folder / "text_encoder")
    if architecture in _TEXT_ENCODERS_2:
        CLIPTextConfig(**_TEXT_ENCODERS_2[architecture]).save_pretrained(folder / "text_encoder_2")
    if architecture == "sdxl":
        EulerDiscreteScheduler(**_NOISE_SCHEDULE_XL).save_config(folder / "scheduler")
        return
    predicted = "v_prediction" if name == "sd21" else "epsilon"
    DDIMScheduler(**_NOISE_SCHEDULE, prediction_type=predicted).save_config(folder / "scheduler")


def write_tokenizers(name: CheckpointName, folder: Path) -> None:
    """Write each tokenizer of a checkpoint, in diffusers' layout: CLIP's vocabulary, padded as published."""
    for part, pad_token in zip(TOKENIZERS, _PAD_TOKENS[ARCHITECTURES[name]], strict=False):
        write_tokenizer(folder / part, pad_token)


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
