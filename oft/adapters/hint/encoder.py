"""The control signal's way in: a small convolutional encoder, its output added once, after ``conv_in``.

The encoder is ControlNet's (arXiv 2302.05543); unlike ControlNet, OFT adds nothing anywhere else. Its last
convolution starts at zero, so an untrained encoder changes nothing.

    encoder = HintEncoder(out_channels=unet.config.block_out_channels[0], generator=generator)
    attach_hint(unet, encoder)
    with hinted(unet, encoder(conditioning_images)):      # encoded once, for all steps of all samples
        unet(latents, timestep, encoder_hidden_states)   # or a whole pipeline call

A batch that is k times the features' batch holds k copies of it one after the other, which is how pipelines
lay out classifier-free guidance (``torch.cat([latents] * 2)``): the features serve every copy. For several
samples of one image next to each other, repeat the image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from oft.adapters.attaching import refuse_second
from oft.errors import ParamsError

CHILD_NAME = "hint_encoder"
# 1 / E[SiLU(z)²] for z ~ N(0, 1): weights of variance gain / fan_in keep a signal's variance from one
# convolution to the next (He et al. 2015, for SiLU). PyTorch's own rule shrinks it about tenfold in each, so
# that the zero-initialised last one sees next to nothing of the condition for thousands of steps.
SILU_GAIN = 2.81


# ControlNet's widths, for the 320 channels of Stable Diffusion's conv_in.
SD_WIDTHS = (16, 16, 32, 32, 96, 96, 256)
SD_OUT_CHANNELS = 320


def proportional_widths(out_channels: int) -> tuple[int, ...]:
    """Return the encoder's inner widths for a UNet whose ``conv_in`` has ``out_channels``.

    They are Stable Diffusion's for 320 channels and in that proportion for others, in whole fours, so that
    the encoder of a narrow UNet does not outweigh what is adapted in it.
    """
    return tuple(max(4, 4 * round(width * out_channels / SD_OUT_CHANNELS / 4)) for width in SD_WIDTHS)


class HintEncoder(nn.Module):
    """Conditioning images ``[n, conditioning_channels, 8 h, 8 w]`` to features ``[n, out_channels, h, w]``.

    Eight 3x3 convolutions with SiLU between; the third, fifth and seventh halve the resolution. 1,086,480
    parameters for 320 output channels. ``block_out_channels`` are the inner widths, None for
    `proportional_widths`.
    """

    def __init__(
        self,
        conditioning_channels: int = 3,
        out_channels: int = 320,
        block_out_channels: Sequence[int] | None = None,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        inner = proportional_widths(out_channels) if block_out_channels is None else block_out_channels
        widths = (conditioning_channels, *inner, out_channels)
        self.convs = nn.ModuleList(
            _conv(width_in, width_out, 2 if index in (2, 4, 6) else 1, generator)
            for index, (width_in, width_out) in enumerate(pairwise(widths))
        )
        for parameter in self.convs[-1].parameters():
            nn.init.zeros_(parameter)
        self.out_channels = out_channels
        self.hints: list[Tensor | None] = []
        self.hook: RemovableHandle | None = None

    def forward(self, conditioning: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n out h w"]:
        """Return the features of conditioning images."""
        first, *others = self.convs
        # Channels last is the layout convolutions are fastest in.
        features: Tensor = first(conditioning.contiguous(memory_format=torch.channels_last))
        for conv in others:
            features = conv(F.silu(features))
        return features


def attach_hint(unet: nn.Module, encoder: HintEncoder) -> None:
    """Make ``encoder`` the UNet's child ``hint_encoder`` and let ``conv_in`` add the hint in force.

    From then on each call of the UNet stands inside ``with hinted(unet, ...)``.

    Raises:
        ParamsError: the UNet has no ``conv_in``, one of another width, or a hint encoder already.
    """
    conv_in = getattr(unet, "conv_in", None)
    if not isinstance(conv_in, nn.Conv2d):
        raise ParamsError(
            f"a hint is added after a UNet's conv_in, and {type(unet).__name__} has none; give a UNet"
        )
    refuse_second(unet, CHILD_NAME)
    if encoder.out_channels != conv_in.out_channels:
        raise ParamsError(
            f"the hint encoder's out_channels ({encoder.out_channels}) must be those of the UNet's conv_in "
            f"({conv_in.out_channels}); make the encoder with out_channels={conv_in.out_channels}"
        )
    unet.add_module(CHILD_NAME, encoder)
    encoder.hook = conv_in.register_forward_hook(partial(_add_hint, encoder.hints))


def detach_hint(unet: nn.Module) -> HintEncoder:
    """Undo ``attach_hint`` and return the encoder."""
    encoder = _encoder_of(unet)
    if encoder.hook is not None:
        encoder.hook.remove()
        encoder.hook = None
    delattr(unet, CHILD_NAME)
    return encoder


@contextmanager
def hinted(unet: nn.Module, features: Float[Tensor, "n channels h w"] | None) -> Iterator[None]:
    """Add ``features`` ``[n, channels, h, w]`` in each call of the UNet inside the block; None adds nothing.

    The batch of a call is n or a multiple of it: copies of the n, one after the other. Blocks nest.
    """
    hints = _encoder_of(unet).hints
    hints.append(features)
    try:
        yield
    finally:
        hints.pop()


def _encoder_of(unet: nn.Module) -> HintEncoder:
    encoder = getattr(unet, CHILD_NAME, None)
    if not isinstance(encoder, HintEncoder):
        raise ParamsError(f"{type(unet).__name__} has no hint encoder; call attach_hint(unet, encoder) first")
    return encoder


def _conv(in_channels: int, out_channels: int, stride: int, generator: torch.Generator) -> nn.Conv2d:
    with torch.random.fork_rng(devices=[]):  # the module initialises itself from the global generator
        conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
    draw_weights(conv, generator)
    return conv


def draw_weights(conv: nn.Conv2d, generator: torch.Generator) -> None:
    """Draw the weights of a convolution whose inputs come through SiLU anew; see ``SILU_GAIN``."""
    deviation = math.sqrt(SILU_GAIN / conv.weight[0].numel())
    nn.init.normal_(conv.weight, std=deviation, generator=generator)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]


def _add_hint(
    hints: list[Tensor | None], conv_in: nn.Module, args: tuple[Tensor, ...], output: Tensor
) -> Tensor:
    if not hints:
        raise RuntimeError(
            "this UNet takes a control signal: call it inside `with hinted(unet, features):`, "
            "with None in place of the features for no signal"
        )
    features = hints[-1]
    if features is None:
        return output
    copies, remainder = divmod(output.shape[0], features.shape[0])
    if remainder or features.shape[1:] != output.shape[1:]:
        raise ParamsError(
            f"hint features {tuple(features.shape)} must have the channels and size of conv_in's output "
            f"{tuple(output.shape)}, and a number that divides its batch; encode one image for each sample, "
            "8 times as large as the latents"
        )
    return (output.unflatten(0, (copies, -1)) + features.to(output.dtype)).flatten(0, 1)
