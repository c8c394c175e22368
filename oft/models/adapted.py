"""An adapter for a task: what is adapted, what enters beside it, and which of its values a training moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from oft.adapters.hint_encoder import HintEncoder, attach_hint
from oft.adapters.interop import LoadedAdapter, load_adapter, save_adapter, set_strength
from oft.adapters.magnitude import inject_magnitude
from oft.adapters.oft import UNET_CONTROL_TARGETS, UNET_SUBJECT_TARGETS, OFTConfig, inject_oft

if TYPE_CHECKING:
    import torch
    from torch import nn

    from oft.models.base import Base
    from oft.settings.training import Rotation


def init_adapter(
    base: Base, settings: Rotation, *, with_condition: bool, generator: torch.Generator
) -> LoadedAdapter:
    """Put an adapter at identity on the base's UNet.

    Tasks with a condition adapt attention and the first feed-forward layer and get a hint encoder; subjects
    adapt attention alone (arXiv 2306.07280, appendix A).
    """
    targets = UNET_CONTROL_TARGETS if with_condition else UNET_SUBJECT_TARGETS
    given = settings.model_dump()
    chosen = given.pop("target_modules")
    adapter = inject_oft(base.unet, OFTConfig(tuple(chosen or targets), **given))
    encoder = None
    if with_condition:
        encoder = HintEncoder(out_channels=base.unet.config.block_out_channels[0], generator=generator)
        encoder.to(base.unet.device)
        attach_hint(base.unet, encoder)
    return LoadedAdapter(adapter, None, encoder, {})


def load_onto(base: Base, folder: Path) -> LoadedAdapter:
    """Put a saved adapter on the base it was made from."""
    return load_adapter(folder, base.unet, base_hash=base.hash)


def store(folder: Path, loaded: LoadedAdapter, base: Base) -> None:
    """Save an adapter with everything beside it."""
    save_adapter(
        folder,
        loaded.adapter,
        loaded.magnitude,
        loaded.hint_encoder,
        base_hash=base.hash,
        base_name=base.origin,
    )


def trained_parameters(loaded: LoadedAdapter) -> dict[str, nn.Parameter]:
    """Return what training moves, by name: rotations and hint encoder; with magnitudes, these alone."""
    if loaded.magnitude is not None:
        return {f"magnitude.{name}": value for name, value in loaded.magnitude.named_values()}
    rotations = {f"rotation.{name}": value for name, value in loaded.adapter.named_packed()}
    if loaded.hint_encoder is None:
        return rotations
    hints = {f"hint_encoder.{name}": value for name, value in loaded.hint_encoder.named_parameters()}
    return rotations | hints


def add_magnitude(loaded: LoadedAdapter, base: Base) -> LoadedAdapter:
    """Put magnitudes of 1 on the layers of a trained adapter; from here on they alone are trained."""
    targets = [name for name, _ in loaded.adapter.named_values()]
    return replace(loaded, magnitude=inject_magnitude(base.unet, targets))


def merge(loaded: LoadedAdapter, strength: float = 1.0) -> None:
    """Fold rotations and magnitudes into the weights: sampling then costs what the base costs.

    Args:
        strength: how much of them applies; a hint encoder always does.
    """
    set_strength(loaded, strength)
    loaded.adapter.merge()
    if loaded.magnitude is not None:
        loaded.magnitude.merge()
