"""The UNet's layers under the names that other programs' files have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from oft.errors import CheckpointError
from oft.exchange.ldm import diffusers_name
from oft.weights import first_names

# Before a layer's name with underscores, before its name with dots, and of parts that are no UNet.
UNDERSCORED = ("lora_unet_", "oft_unet_", "lycoris_")
DOTTED = ("unet.",)
TEXT_ENCODERS = ("lora_te", "oft_te", "clip_l.", "clip_g.", "text_encoder.")


class Named(NamedTuple):
    """A file's tensors, sorted by what they belong to.

    Attributes:
        layers: of the UNet's layers, by their names in diffusers, then by what the file calls each tensor.
        unknown: names whose layer the UNet does not have.
        text_encoder: names of tensors of text encoders.
    """

    layers: dict[str, dict[str, Tensor]]
    unknown: list[str]
    text_encoder: list[str]


def is_prefixed(name: str) -> bool:
    """Return whether a tensor's name is in the manner of front ends: with the part before the layer."""
    return name.startswith((*UNDERSCORED, *DOTTED, *TEXT_ENCODERS))


def sort_tensors(tensors: Mapping[str, Tensor], unet: nn.Module, suffixes: tuple[str, ...]) -> Named:
    """Return a file's tensors by layer.

    A layer may be called by underscores, by dots, or by dots under its name in the Latent Diffusion code.

    Args:
        suffixes: what may follow a layer's name, such as ``.alpha``; the first that fits is taken.
    """
    modules = {name for name, _ in unet.named_modules() if name}
    underscored = {name.replace(".", "_"): name for name in sorted(modules)}
    layers_per_block = int(getattr(getattr(unet, "config", None), "layers_per_block", 2))
    layers: dict[str, dict[str, Tensor]] = {}
    unknown, text_encoder = [], []
    for key, value in tensors.items():
        if key.startswith(TEXT_ENCODERS):
            text_encoder.append(key)
            continue
        suffix = next((suffix for suffix in suffixes if key.endswith(suffix)), "")
        name = key.removesuffix(suffix)
        for prefix in (*UNDERSCORED, *DOTTED):
            name = name.removeprefix(prefix)
        layer = name if name in modules else underscored.get(name)
        if layer is None:
            layer = diffusers_name(f"diffusion_model.{name}", layers_per_block)
        if not suffix or layer is None or layer not in modules:
            unknown.append(key)
        else:
            layers.setdefault(layer, {})[suffix] = value
    return Named(layers, unknown, text_encoder)


def refuse_strangers(source: str, named: Named, allow_text_encoder: bool) -> None:
    """Refuse a file with tensors that belong to no layer of the UNet.

    Args:
        allow_text_encoder: those of text encoders may be left out.

    Raises:
        CheckpointError: it has some, or none that do.
    """
    if named.unknown or not named.layers:
        raise CheckpointError(
            f"{source}: every tensor must belong to a layer of the base's UNet, and {len(named.unknown)} do "
            f"not ({first_names(named.unknown)}); use the base it was trained on"
        )
    if named.text_encoder and not allow_text_encoder:
        raise CheckpointError(
            f"{source}: changes text encoders too ({first_names(named.text_encoder)}), and the UNet alone is "
            "taken over; give --allow-error to leave them out"
        )


def left_out(named: Named) -> list[str]:
    """Say what of a file is left out."""
    count = len(named.text_encoder)
    return [f"{count} tensors of text encoders are left out"] if count else []
