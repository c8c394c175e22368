"""What is measured: a network, the sizes of its inputs, and what is done with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from benchmarks.architectures import (
    SD15_CONTEXT_TOKENS,
    SD15_CONTEXT_WIDTH,
    Architecture,
    miniature_unet,
    sd15_unet,
    transformer_block,
)
from oft.adapters import UNET_CONTROL_TARGETS
from oft.adapters.oft.layers import num_features
from oft.adapters.oft.targets import find_targets

BLOCKS = ((320, 4096), (640, 1024), (1280, 256), (1280, 64))  # (width, tokens) of SD 1.5 at 64 x 64 latents
BLOCK_BATCHES = (1, 4, 16)
SD15_LATENTS = (16, 32, 64)
ACCUMULATED = 4
MINIATURE_BATCH = 16


@dataclass(frozen=True)
class Case:
    """One workload.

    Attributes:
        name: what ``--cases`` knows it by.
        title: what tables call it.
        architecture: the network.
        input_shape: of the first input: latents ``[batch, channels, height, width]``, or hidden states
            ``[batch, tokens, width]``.
        context_shape: of ``encoder_hidden_states``, ``[batch, tokens, width]``.
        micro_batches: forward and backward passes a step, each on a batch of ``input_shape``.
        checkpointing: activations are computed anew in the backward pass.
        training: a training step, else one forward pass without gradients.
    """

    name: str
    title: str
    architecture: Architecture
    input_shape: tuple[int, ...]
    context_shape: tuple[int, int, int]
    micro_batches: int = 1
    checkpointing: bool = False
    training: bool = True

    @property
    def passes(self) -> int:
        """Forward and backward passes a step takes.

        A backward pass to the input alone costs what a forward pass does; checkpointing adds another.
        """
        return (2 + self.checkpointing) * self.micro_batches if self.training else 1

    @property
    def frozen_tflop(self) -> float:
        """10¹² multiplications and additions of the frozen base's step."""
        return forward_flops(self) * self.passes / 1e12


def draw_inputs(case: Case, generator: torch.Generator) -> list[Tensor]:
    """Return random inputs of one pass: latents or hidden states, context and, for a denoiser, timesteps."""
    inputs = [torch.randn(shape, generator=generator) for shape in (case.input_shape, case.context_shape)]
    if case.architecture.takes_timesteps:
        inputs.append(torch.randint(1000, case.input_shape[:1], generator=generator))
    return inputs


@cache
def forward_flops(case: Case) -> int:
    """Return the multiplications and additions of one forward pass, counted on shapes, without computing."""
    from torch.utils.flop_counter import FlopCounterMode

    network = _on_meta_device(case.architecture)
    inputs = [value.to("meta") for value in draw_inputs(case, torch.Generator())]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        case.architecture.forward(network, inputs)
    flops: int = counter.get_total_flops()
    return flops


@cache
def target_widths(architecture: Architecture) -> list[int]:
    """Return in_features of every layer that variants adapt."""
    targets = find_targets(_on_meta_device(architecture), UNET_CONTROL_TARGETS)
    return [num_features(layer) for layer in targets.values()]


def all_cases() -> list[Case]:
    """Return every case, those of one network together, the largest network last."""
    return [miniature_case(), *block_cases(), *sd15_cases()]


def miniature_case() -> Case:
    """Return the training step of the miniature pipeline."""
    return Case(
        "miniature",
        f"training step, miniature UNet, batch {MINIATURE_BATCH}",
        miniature_unet(),
        (MINIATURE_BATCH, 16, 8, 8),
        (MINIATURE_BATCH, 32, 128),
    )


def block_cases() -> list[Case]:
    """Return the training steps of SD 1.5's transformer blocks at every depth and batch."""
    architectures = {width: transformer_block(width) for width, _ in BLOCKS}
    return [
        Case(
            f"block-{width}x{tokens}-b{batch}",
            f"training step, transformer block {width} wide, {tokens} tokens, batch {batch}",
            architectures[width],
            (batch, tokens, width),
            (batch, SD15_CONTEXT_TOKENS, SD15_CONTEXT_WIDTH),
        )
        for width, tokens in BLOCKS
        for batch in BLOCK_BATCHES
    ]


def sd15_cases() -> list[Case]:
    """Return whole-UNet cases at batch 1: plain, checkpointed and accumulated steps, and inference."""
    unet = sd15_unet()
    cases = []
    for size in SD15_LATENTS:
        shapes = (1, 4, size, size), (1, SD15_CONTEXT_TOKENS, SD15_CONTEXT_WIDTH)
        where = f"SD 1.5 UNet, {size} × {size} latents"
        cases += [
            Case(f"sd15-{size}", f"training step, {where}, batch 1", unet, *shapes),
            Case(
                f"sd15-{size}-checkpointing",
                f"training step with gradient checkpointing, {where}, batch 1",
                unet,
                *shapes,
                checkpointing=True,
            ),
            Case(
                f"sd15-{size}-accumulation",
                f"training step over {ACCUMULATED} micro-batches, {where}, batch {ACCUMULATED} × 1",
                unet,
                *shapes,
                micro_batches=ACCUMULATED,
            ),
            Case(
                f"sd15-{size}-inference",
                f"forward pass without gradients, {where}",
                unet,
                *shapes,
                training=False,
            ),
        ]
    return cases


def _on_meta_device(architecture: Architecture) -> nn.Module:
    with torch.device("meta"):
        return architecture.make()
