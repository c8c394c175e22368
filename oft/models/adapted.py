"""Make an adapter for a base, load it onto the base, save it with the base's hash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from oft.adapters.registry import create_adapter, load_adapter
from oft.errors import ParamsError

if TYPE_CHECKING:
    import torch

    from oft.adapters.protocol import Adapter, AdapterSettings
    from oft.models.base import Base


def init_adapter(
    base: Base, settings: AdapterSettings, *, with_condition: bool, generator: torch.Generator
) -> Adapter:
    """Put a new adapter on the base's UNet, which still draws what it drew before.

    Raises:
        ParamsError: the settings ask for what the base or the kind of adapter does not have.
    """
    trains_text = getattr(settings, "train_text_encoder", False)
    if trains_text and base.text_encoder_2 is not None:
        raise ParamsError(
            "train_text_encoder: is for a base with one text encoder, and this one, Stable Diffusion XL, has "
            "two; set it to false in params.yaml"
        )
    adapter = create_adapter(base.unet, settings, with_condition=with_condition, generator=generator)
    if trains_text:
        adapter.train_text_encoder(base.text_encoder, generator)
    return adapter


def load_adapter_onto(base: Base, folder: Path) -> Adapter:
    """Put a saved adapter on the base it was made from.

    Raises:
        CheckpointError: a file is missing or damaged, or belongs to another base.
    """
    adapter = load_adapter(folder, base.unet, base_hash=base.hash)
    adapter.load_text_encoder(folder, base.text_encoder)
    return adapter


def save_with_base(folder: Path, adapter: Adapter, base: Base) -> None:
    """Save an adapter with the hash and the origin of its base."""
    adapter.save(folder, base_hash=base.hash, base_name=base.origin)
