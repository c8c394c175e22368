"""The frozen networks under measurement, with random weights: what a step costs does not depend on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from oft.errors import CheckpointError
from oft.models.architectures import UNET_CONFIGS
from oft.storage import read_json

SD15_CONTEXT_WIDTH, SD15_CONTEXT_TOKENS, SD15_HEADS = 768, 77, 8
MINIATURE_UNET = Path(__file__).parents[1] / "data" / "models" / "miniature" / "base" / "unet"


@dataclass(frozen=True)
class Architecture:
    """A network and how it is called.

    Attributes:
        name: what results and messages call it.
        make: returns the network, on the default device.
        forward: returns its output for the network and its inputs, ``draw_inputs``'s.
        takes_timesteps: the inputs include timesteps, as a denoiser's do.
        needs_input_grad: the network is part of a larger one, whose earlier layers need that gradient.
    """

    name: str
    make: Callable[[], nn.Module]
    forward: Callable[[nn.Module, Sequence[Tensor]], Tensor]
    takes_timesteps: bool = False
    needs_input_grad: bool = False


def transformer_block(
    width: int, context_width: int = SD15_CONTEXT_WIDTH, heads: int = SD15_HEADS
) -> Architecture:
    """Return one transformer block of a UNet: self-attention, cross-attention, GEGLU."""

    def make() -> nn.Module:
        from diffusers.models.attention import BasicTransformerBlock

        block: nn.Module = BasicTransformerBlock(
            width, heads, width // heads, cross_attention_dim=context_width
        )
        return block

    def forward(block: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
        hidden, context = inputs
        output: Tensor = block(hidden, encoder_hidden_states=context)
        return output

    return Architecture(f"block-{width}", make, forward, needs_input_grad=True)


def sd15_unet() -> Architecture:
    """Return Stable Diffusion 1.5's UNet, 860 million parameters."""

    def make() -> nn.Module:
        from diffusers import UNet2DConditionModel

        unet: nn.Module = UNet2DConditionModel(**UNET_CONFIGS["sd15"])
        return unet

    return Architecture("sd15", make, _denoise, takes_timesteps=True)


def miniature_unet(folder: Path = MINIATURE_UNET) -> Architecture:
    """Return the UNet of the miniature base that ships with the repository, by its configuration."""

    def make() -> nn.Module:
        from diffusers import UNet2DConditionModel

        config = folder / "config.json"
        if not config.is_file():
            raise CheckpointError(
                f"{config}: must be the miniature UNet's configuration; restore it with git"
            )
        unet: nn.Module = UNet2DConditionModel.from_config(read_json(config))
        return unet

    return Architecture("miniature", make, _denoise, takes_timesteps=True)


def make_frozen(architecture: Architecture, device: torch.device) -> nn.Module:
    """Return the network on ``device``, nothing of it trained, with equal weights every time."""
    with torch.random.fork_rng(), torch.device("cpu"):
        torch.manual_seed(0)  # the initialisers of torch and diffusers draw from the global generator
        network = architecture.make()
    return network.requires_grad_(False).to(device).to(memory_format=torch.channels_last)


def _denoise(unet: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    latents, context, timesteps = inputs
    predicted: Tensor = unet(latents, timesteps, context, return_dict=False)[0]
    return predicted
