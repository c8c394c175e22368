"""Names and shapes of a checkpoint of Latent Diffusion, from how the original code builds its networks.

Independent of diffusers' converters, which the tests hold to it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oft.models.architectures import write_tokenizers
from tests.conftest import ROOT
from tests.oft.conftest import tiny_unet

MINIATURE = ROOT / "data" / "models" / "miniature" / "base"

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def affine(name: str, *shape: int, bias: bool = True) -> Shapes:
    yield f"{name}.weight", shape
    if bias:
        yield f"{name}.bias", shape[:1]


def residual(name: str, width: int, out: int, time: int) -> Shapes:
    """openaimodel.ResBlock."""
    yield from affine(f"{name}.in_layers.0", width)
    yield from affine(f"{name}.in_layers.2", out, width, 3, 3)
    yield from affine(f"{name}.emb_layers.1", out, time)
    yield from affine(f"{name}.out_layers.0", out)
    yield from affine(f"{name}.out_layers.3", out, out, 3, 3)
    if width != out:
        yield from affine(f"{name}.skip_connection", out, width, 1, 1)


def transformer(name: str, width: int, context: int, linear: bool, depth: int = 1) -> Shapes:
    """attention.SpatialTransformer of ``depth`` blocks."""
    kernel = () if linear else (1, 1)
    yield from affine(f"{name}.norm", width)
    yield from affine(f"{name}.proj_in", width, width, *kernel)
    for block in (f"{name}.transformer_blocks.{number}" for number in range(depth)):
        for attention, keys in (("attn1", width), ("attn2", context)):
            yield from affine(f"{block}.{attention}.to_q", width, width, bias=False)
            yield from affine(f"{block}.{attention}.to_k", width, keys, bias=False)
            yield from affine(f"{block}.{attention}.to_v", width, keys, bias=False)
            yield from affine(f"{block}.{attention}.to_out.0", width, width)
        yield from affine(f"{block}.ff.net.0.proj", 8 * width, width)
        yield from affine(f"{block}.ff.net.2", width, 4 * width)
        for norm in ("norm1", "norm2", "norm3"):
            yield from affine(f"{block}.{norm}", width)
    yield from affine(f"{name}.proj_out", width, width, *kernel)


def unet(config: Mapping[str, Any]) -> Shapes:
    """openaimodel.UNetModel, under ``model.diffusion_model``."""
    widths, layers = config["block_out_channels"], config["layers_per_block"]
    context, linear = config["cross_attention_dim"], config["use_linear_projection"]
    attends = [kind.startswith("CrossAttn") for kind in config["down_block_types"]]
    depths = config["transformer_layers_per_block"]
    depths = [depths] * len(widths) if isinstance(depths, int) else depths
    top, time = "model.diffusion_model", 4 * widths[0]
    yield from affine(f"{top}.time_embed.0", time, widths[0])
    yield from affine(f"{top}.time_embed.2", time, time)
    if config["addition_embed_type"]:
        yield from affine(f"{top}.label_emb.0.0", time, config["projection_class_embeddings_input_dim"])
        yield from affine(f"{top}.label_emb.0.2", time, time)
    yield from affine(f"{top}.input_blocks.0.0", widths[0], config["in_channels"], 3, 3)
    skips, index, width = [widths[0]], 1, widths[0]
    for level, out in enumerate(widths):
        for _ in range(layers):
            yield from residual(f"{top}.input_blocks.{index}.0", width, out, time)
            if attends[level]:
                yield from transformer(f"{top}.input_blocks.{index}.1", out, context, linear, depths[level])
            width, index = out, index + 1
            skips.append(out)
        if level < len(widths) - 1:
            yield from affine(f"{top}.input_blocks.{index}.0.op", out, out, 3, 3)
            index += 1
            skips.append(out)
    yield from residual(f"{top}.middle_block.0", width, width, time)
    yield from transformer(f"{top}.middle_block.1", width, context, linear, depths[-1])
    yield from residual(f"{top}.middle_block.2", width, width, time)
    index = 0
    for level, out in reversed(list(enumerate(widths))):
        for layer in range(layers + 1):
            name = f"{top}.output_blocks.{index}"
            yield from residual(f"{name}.0", width + skips.pop(), out, time)
            if attends[level]:
                yield from transformer(f"{name}.1", out, context, linear, depths[level])
            if layer == layers and level:
                yield from affine(f"{name}.{2 if attends[level] else 1}.conv", out, out, 3, 3)
            width, index = out, index + 1
    yield from affine(f"{top}.out.0", width)
    yield from affine(f"{top}.out.2", config["out_channels"], width, 3, 3)


def autoencoder(config: Mapping[str, Any]) -> Shapes:
    """model.Encoder and Decoder of an AutoencoderKL, under ``first_stage_model``."""
    widths, layers, latent = (
        config["block_out_channels"],
        config["layers_per_block"],
        config["latent_channels"],
    )

    def block(name: str, width: int, out: int) -> Shapes:
        yield from affine(f"{name}.norm1", width)
        yield from affine(f"{name}.conv1", out, width, 3, 3)
        yield from affine(f"{name}.norm2", out)
        yield from affine(f"{name}.conv2", out, out, 3, 3)
        if width != out:
            yield from affine(f"{name}.nin_shortcut", out, width, 1, 1)

    def middle(name: str, width: int) -> Shapes:
        yield from block(f"{name}.mid.block_1", width, width)
        yield from affine(f"{name}.mid.attn_1.norm", width)
        for part in ("q", "k", "v", "proj_out"):
            yield from affine(f"{name}.mid.attn_1.{part}", width, width, 1, 1)
        yield from block(f"{name}.mid.block_2", width, width)

    side, width = "first_stage_model.encoder", widths[0]
    yield from affine(f"{side}.conv_in", width, 3, 3, 3)
    for level, out in enumerate(widths):
        for layer in range(layers):
            yield from block(f"{side}.down.{level}.block.{layer}", width, out)
            width = out
        if level < len(widths) - 1:
            yield from affine(f"{side}.down.{level}.downsample.conv", out, out, 3, 3)
    yield from middle(side, width)
    yield from affine(f"{side}.norm_out", width)
    yield from affine(f"{side}.conv_out", 2 * latent, width, 3, 3)
    yield from affine("first_stage_model.quant_conv", 2 * latent, 2 * latent, 1, 1)
    yield from affine("first_stage_model.post_quant_conv", latent, latent, 1, 1)
    side = "first_stage_model.decoder"
    yield from affine(f"{side}.conv_in", width, latent, 3, 3)
    yield from middle(side, width)
    for level, out in reversed(list(enumerate(widths))):
        for layer in range(layers + 1):
            yield from block(f"{side}.up.{level}.block.{layer}", width, out)
            width = out
        if level:
            yield from affine(f"{side}.up.{level}.upsample.conv", out, out, 3, 3)
    yield from affine(f"{side}.norm_out", width)
    yield from affine(f"{side}.conv_out", 3, width, 3, 3)


def clip(config: Mapping[str, Any], prefix: str = "cond_stage_model") -> Shapes:
    """transformers' CLIPTextModel as it was when these checkpoints were made (SD 1, XL's first)."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    top = f"{prefix}.transformer.text_model"
    yield f"{top}.embeddings.position_ids", (1, config["max_position_embeddings"])
    yield f"{top}.embeddings.token_embedding.weight", (config["vocab_size"], width)
    yield f"{top}.embeddings.position_embedding.weight", (config["max_position_embeddings"], width)
    for layer in range(config["num_hidden_layers"]):
        name = f"{top}.encoder.layers.{layer}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield from affine(f"{name}.self_attn.{part}", width, width)
        yield from affine(f"{name}.layer_norm1", width)
        yield from affine(f"{name}.mlp.fc1", inner, width)
        yield from affine(f"{name}.mlp.fc2", width, inner)
        yield from affine(f"{name}.layer_norm2", width)
    yield from affine(f"{top}.final_layer_norm", width)


def open_clip(config: Mapping[str, Any], prefix: str = "cond_stage_model", unused_layers: int = 1) -> Shapes:
    """open_clip's text tower: SD 2's, which has one layer more than is used, or XL's second."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    top = f"{prefix}.model"
    yield f"{top}.positional_embedding", (config["max_position_embeddings"], width)
    yield f"{top}.text_projection", (width, width if unused_layers else config["projection_dim"])
    yield f"{top}.logit_scale", ()
    yield f"{top}.token_embedding.weight", (config["vocab_size"], width)
    for layer in range(config["num_hidden_layers"] + unused_layers):
        name = f"{top}.transformer.resblocks.{layer}"
        yield from affine(f"{name}.ln_1", width)
        yield f"{name}.attn.in_proj_weight", (3 * width, width)
        yield f"{name}.attn.in_proj_bias", (3 * width,)
        yield from affine(f"{name}.attn.out_proj", width, width)
        yield from affine(f"{name}.ln_2", width)
        yield from affine(f"{name}.mlp.c_fc", inner, width)
        yield from affine(f"{name}.mlp.c_proj", width, inner)
    yield from affine(f"{top}.ln_final", width)


def checkpoint(
    configs: Mapping[str, Mapping[str, Any]], generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Return a whole checkpoint: random float32 values, or none at all, on the meta device.

    Args:
        configs: of unet, vae, text_encoder and, of an XL, text_encoder_2, in diffusers' terms.
    """
    text = configs["text_encoder"]
    shapes = [*unet(configs["unet"]), *autoencoder(configs["vae"])]
    if "text_encoder_2" in configs:
        shapes += clip(text, "conditioner.embedders.0")
        shapes += open_clip(configs["text_encoder_2"], "conditioner.embedders.1", unused_layers=0)
    else:
        shapes += (clip if text["hidden_act"] == "quick_gelu" else open_clip)(text)
    if generator is None:
        return {name: torch.empty(shape, device="meta") for name, shape in shapes}
    # Of a variance that keeps a signal's: what the UNet is told shows in what it predicts.
    drawn = {
        name: torch.randn(shape, generator=generator) * (prod(shape[1:]) ** -0.5 if shape[1:] else 0.05)
        for name, shape in shapes
    }
    # Norms scale by about one, as trained ones do.
    return {
        name: value.abs() + 1 if "norm" in name and name.endswith("weight") else value
        for name, value in drawn.items()
    }


def with_averages(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint with moving averages of its UNet, each its weight plus one."""
    averages = {
        "model_ema." + name.removeprefix("model.").replace(".", ""): value + 1
        for name, value in state.items()
        if name.startswith("model.diffusion_model.")
    }
    return {**state, **averages, "model_ema.decay": torch.tensor(0.9999)}


def write_tiny_configs(folder: Path, vocab_size: int = 866, max_position_embeddings: int = 32) -> Path:
    """Write the configurations of a Stable Diffusion 1 of less than a million parameters; return it.

    The tokenizer is the miniature's, whose sizes are those that are not given.
    """
    from diffusers import AutoencoderKL
    from transformers import CLIPTextConfig

    with torch.device("meta"):
        tiny_unet().save_config(folder / "unet")
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=4,
            layers_per_block=1,
        )
    vae.save_config(folder / "vae")
    text_encoder = CLIPTextConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=vocab_size,
        max_position_embeddings=max_position_embeddings,
    )
    text_encoder.save_pretrained(folder / "text_encoder")
    for part in ("scheduler", "tokenizer"):
        shutil.copytree(MINIATURE / part, folder / part)
    return folder


def write_tiny_xl_configs(folder: Path) -> Path:
    """Write the configurations and real tokenizers of a tiny Stable Diffusion XL; return the folder.

    Its widths all differ, so that nothing fits in another's place.
    """
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=16,  # pictures of 64 pixels are half as large as what it was "trained" on
            block_out_channels=(16, 24, 32),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=8,
            cross_attention_dim=16 + 24,
            attention_head_dim=(2, 3, 4),
            transformer_layers_per_block=(1, 2, 3),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=20 + 6 * 8,
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=4,
            layers_per_block=1,
            scaling_factor=0.13025,
        )
    unet.save_config(folder / "unet")
    vae.save_config(folder / "vae")
    first = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    CLIPTextConfig(**first).save_pretrained(folder / "text_encoder")
    second = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 4, "num_attention_heads": 3}
    CLIPTextConfig(**second, hidden_act="gelu", projection_dim=20).save_pretrained(folder / "text_encoder_2")
    EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        timestep_spacing="leading",
    ).save_config(folder / "scheduler")
    write_tokenizers("sdxl", folder)
    return folder


def read_configs(folder: Path) -> dict[str, Any]:
    """Return the configurations of the networks."""
    return {
        part: json.loads((folder / part / "config.json").read_text("utf-8"))
        for part in ("unet", "vae", "text_encoder", "text_encoder_2")
        if (folder / part).is_dir()
    }
