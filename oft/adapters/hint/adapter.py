"""A hint encoder put on a UNet, trained, saved and described: alone, or beside what a subclass adds."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oft.adapters.attaching import BASE_REMEDY, freeze, refuse_second, refuse_without_condition
from oft.adapters.files import HINT_ENCODER_FILE
from oft.adapters.hint.encoder import CHILD_NAME, HintEncoder, attach_hint, detach_hint, hinted
from oft.adapters.protocol import Adapter
from oft.adapters.tensors import file_metadata, read_tensors, write_tensors
from oft.errors import CheckpointError
from oft.weights import check_weights

HINT_LOST = (
    "the hint encoder is left out, as this format has no place for it: what is written has learned the task "
    "and takes no control signal (oft export --format diffusers-control keeps it)"
)
"""What exports say that write weights alone."""


class HintAdapter(Adapter):
    """A hint encoder, its weights trained and nothing else.

    Attributes:
        encoder: None for a task without conditioning images, which only subclasses have.
    """

    method = "hint"

    def __init__(
        self, unet: nn.Module, encoder: HintEncoder | None, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Describe what is on ``unet`` already; ``encoder`` is attached."""
        self.unet = unet
        self.encoder = encoder
        self.metadata = dict(metadata or {})

    @classmethod
    def create(
        cls, unet: nn.Module, settings: Any, *, with_condition: bool, generator: torch.Generator
    ) -> HintAdapter:
        refuse_without_condition(cls.method, with_condition)
        freeze(unet)
        return cls(unet, new_encoder(unet, generator))

    @classmethod
    def load(cls, folder: Path, unet: nn.Module, *, base_hash: str | None = None) -> HintAdapter:
        refuse_second(unet, CHILD_NAME)
        tensors, metadata = read_tensors(Path(folder) / HINT_ENCODER_FILE, base_hash)
        encoder = build_encoder(str(Path(folder) / HINT_ENCODER_FILE), tensors, unet)
        freeze(unet)
        attach_hint(unet, encoder)
        return cls(unet, encoder, metadata)

    def save(
        self,
        folder: Path,
        *,
        base_hash: str,
        base_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        common = {**(metadata or {}), **file_metadata(base_hash, base_name)}
        save_encoder(folder, self.encoder, {**common, "method": self.method})

    def lost_by_merging(self) -> list[str]:
        if self.encoder is None:
            return []
        return [HINT_LOST]

    def remove(self) -> None:
        if self.encoder is not None:
            detach_hint(self.unet)

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        if self.encoder is None:
            return {}
        return {f"hint_encoder.{name}": value for name, value in self.encoder.named_parameters()}

    @property
    def takes_condition(self) -> bool:
        return self.encoder is not None

    def conditioned(self, images: Tensor | None) -> AbstractContextManager[None]:
        if self.encoder is None:
            return nullcontext()
        return hinted(self.unet, None if images is None else self.encoder(images))

    def guess_mode(self, images: Tensor) -> AbstractContextManager[None]:
        if self.encoder is None:
            return nullcontext()
        features = self.encoder(images)
        return hinted(self.unet, torch.cat([torch.zeros_like(features), features]))

    @property
    def strength(self) -> float:
        return 1.0

    @strength.setter
    def strength(self, strength: float) -> None:
        """Change nothing: a hint is part of what is asked for, not of the weights."""

    @property
    def merged(self) -> bool:
        return False

    def merge(self) -> None:
        """Change nothing: there are no weights to fold in."""

    def unmerge(self) -> None:
        """Change nothing: there are no weights to put back."""

    def count_parameters(self) -> dict[str, int]:
        values = [] if self.encoder is None else self.encoder.parameters()
        return {"hint_encoder": sum(value.numel() for value in values)}


def new_encoder(unet: nn.Module, generator: torch.Generator) -> HintEncoder:
    """Attach an untrained hint encoder to ``unet``; it changes nothing until it is trained."""
    conv_in: Any = unet.get_submodule("conv_in")
    encoder = HintEncoder(out_channels=conv_in.out_channels, generator=generator)
    encoder.to(conv_in.weight.device)
    attach_hint(unet, encoder)
    return encoder


def save_encoder(folder: Path, encoder: HintEncoder | None, metadata: Mapping[str, str]) -> None:
    """Write a hint encoder's file to ``folder``, or remove the one there."""
    if encoder is None:
        (folder / HINT_ENCODER_FILE).unlink(missing_ok=True)
    else:
        write_tensors(folder / HINT_ENCODER_FILE, encoder.state_dict(), metadata)


def read_encoder(folder: Path, base_hash: str | None, unet: nn.Module) -> HintEncoder | None:
    """Return the hint encoder of the adapter in ``folder``, not yet attached; None where it has none.

    Raises:
        CheckpointError: the file is damaged, or belongs to another base or UNet.
    """
    source = folder / HINT_ENCODER_FILE
    if not source.exists():
        return None
    tensors, _ = read_tensors(source, base_hash)
    return build_encoder(str(source), tensors, unet)


def build_encoder(what: str, tensors: Mapping[str, Tensor], unet: nn.Module) -> HintEncoder:
    """Return the hint encoder with the state ``tensors``, beside ``unet``; ``what`` names them in messages.

    Raises:
        CheckpointError: the tensors are not a hint encoder's, or those of one for another UNet.
    """
    weights = [tensors[key] for i in range(len(tensors)) if (key := f"convs.{i}.weight") in tensors]
    widths = [weight.shape[0] for weight in weights if weight.dim() == 4]
    if len(widths) < 2 or len(widths) < len(weights):
        raise CheckpointError(
            f"{what}: must hold convs.<i>.weight, got {sorted(tensors)[:3]}; give a hint encoder"
        )
    encoder = HintEncoder(weights[0].shape[1], widths[-1], widths[:-1], generator=torch.Generator())
    check_weights(what, encoder.state_dict(), tensors, BASE_REMEDY)
    conv_in = getattr(unet, "conv_in", None)
    if not isinstance(conv_in, nn.Conv2d) or conv_in.out_channels != widths[-1]:
        raise CheckpointError(
            f"{what}: the last width ({widths[-1]}) must be that of the UNet's conv_in "
            f"({getattr(conv_in, 'out_channels', None)}); use the base it was trained on"
        )
    encoder.load_state_dict(tensors)
    return encoder.to(conv_in.weight.device)
