"""Orthogonal finetuning of a UNet as an ``Adapter``: rotations, then magnitudes, and a hint encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oft.adapters.attaching import freeze
from oft.adapters.hint.adapter import HintAdapter, new_encoder
from oft.adapters.hint.encoder import HintEncoder, attach_hint
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.magnitude import MagnitudeAdapter, inject_magnitude
from oft.adapters.oft.module import OFTAdapter, inject_oft
from oft.adapters.oft.saving import read_adapter, save_adapter
from oft.adapters.oft.settings import OFTSettings
from oft.adapters.protocol import AdapterSettings
from oft.adapters.targets import default_targets


class OrthogonalAdapter(HintAdapter):
    """Rotations of a UNet's layers; strength, merging and geometry are theirs and the magnitudes'.

    Attributes:
        rotations: what turns the layers' inputs.
        magnitude: scales of the same layers' outputs; None before they are fitted.
    """

    method = "oft"

    def __init__(
        self,
        unet: nn.Module,
        rotations: OFTAdapter,
        magnitude: MagnitudeAdapter | None = None,
        encoder: HintEncoder | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Describe what is on ``unet`` already."""
        super().__init__(unet, encoder, metadata)
        self.rotations = rotations
        self.magnitude = magnitude

    @classmethod
    def create(
        cls, unet: nn.Module, settings: Any, *, with_condition: bool, generator: torch.Generator
    ) -> OrthogonalAdapter:
        """Put rotations at the identity on ``unet``.

        Tasks with a condition get a hint encoder.
        """
        assert isinstance(settings, OFTSettings)
        given = settings.model_dump(exclude={*AdapterSettings.model_fields, "target_modules"})
        targets = settings.target_modules or default_targets(with_condition=with_condition)
        rotations = inject_oft(unet, OFTConfig(tuple(targets), **given))
        return cls(unet, rotations, encoder=new_encoder(unet, generator) if with_condition else None)

    @classmethod
    def load(cls, folder: Path, unet: nn.Module, *, base_hash: str | None = None) -> OrthogonalAdapter:
        """Put the adapter saved in ``folder`` on ``unet``; see ``Adapter.load``.

        Rotations and hint encoder are trainable, or, where magnitudes were fitted, only those. Also reads
        what PEFT's exact path saved for linear layers and pointwise convolutions.
        """
        saved = read_adapter(folder, unet, base_hash)
        adapter = cls.put_on(
            unet, saved.config, saved.packed, saved.log_scales, saved.encoder, saved.metadata
        )
        if saved.by_peft:
            adapter.rotations.project()  # PEFT saves what its next forward pass would project
        return adapter

    @classmethod
    def put_on(
        cls,
        unet: nn.Module,
        config: OFTConfig,
        packed: Mapping[str, Tensor],
        log_scales: Mapping[str, Tensor] | None = None,
        encoder: HintEncoder | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> OrthogonalAdapter:
        """Put an adapter of given values on ``unet``: packed parameters and log-magnitudes by layer name.

        The base is frozen. Rotations and hint encoder are trainable, or, where there are magnitudes, only
        those.

        Raises:
            CheckpointError: a layer is missing or unexpected, or a shape differs.
            ParamsError: the model has an adapter already, or the configuration does not fit it.
        """
        rotations = inject_oft(unet, config)
        rotations.load_packed(packed)
        if encoder is not None:
            attach_hint(unet, encoder)
        magnitude = None
        if log_scales is not None:
            magnitude = MagnitudeAdapter(unet, {name: unet.get_submodule(name) for name in log_scales})
            magnitude.load_values(log_scales)
            freeze(unet, keep=(magnitude.child_name,))
        return cls(unet, rotations, magnitude, encoder, metadata)

    def save(
        self,
        folder: Path,
        *,
        base_hash: str,
        base_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        save_adapter(
            folder,
            self.rotations,
            self.magnitude,
            self.encoder,
            base_hash=base_hash,
            base_name=base_name,
            metadata=metadata,
        )

    def save_for_peft(self, folder: Path, *, base_hash: str, base_name: str | None = None) -> list[str]:
        save_adapter(folder, self.rotations, base_hash=base_hash, base_name=base_name)
        notes = []
        if self.magnitude is not None:
            notes.append("PEFT's OFT has no magnitudes: the adapter's are left out, its rotations are there")
        return notes + self.lost_by_merging()

    def remove(self) -> None:
        super().remove()
        if self.magnitude is not None:
            self.magnitude.remove()
        self.rotations.remove()

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return rotations and hint encoder by name; with magnitudes, these alone."""
        if self.magnitude is not None:
            return {f"magnitude.{name}": value for name, value in self.magnitude.named_values()}
        rotations = {f"rotation.{name}": value for name, value in self.rotations.named_values()}
        return rotations | super().trained_parameters()

    def before_step(self, seed: int) -> None:
        """Let dropout leave out the blocks of this step, whatever was drawn between it and the last."""
        self.rotations.train()
        self.rotations.seed_dropout(seed)

    def after_training(self) -> None:
        self.rotations.eval()

    def add_magnitudes(self) -> bool:
        # Rotations do not change any more: folded into the weights they cost nothing.
        self.rotations.merge()
        self.magnitude = inject_magnitude(self.unet, self.adapted_layers())
        return True

    @property
    def strength(self) -> float:
        return self.rotations.strength

    @strength.setter
    def strength(self, strength: float) -> None:
        """Let rotations and magnitudes apply ``strength`` times; a hint encoder always does."""
        for part in self._parts():
            part.strength = strength

    @property
    def merged(self) -> bool:
        return all(part.merged for part in self._parts())

    def merge(self) -> None:
        for part in self._parts():
            part.merge()

    def unmerge(self) -> None:
        for part in reversed(self._parts()):
            part.unmerge()

    @contextmanager
    def merging(self) -> Iterator[None]:
        with ExitStack() as stack:
            for part in self._parts():
                stack.enter_context(part.merging())
            yield

    def count_parameters(self) -> dict[str, int]:
        counts = {"rotation": self.rotations.num_parameters, **super().count_parameters()}
        return counts if self.magnitude is None else {**counts, "magnitude": self.magnitude.num_parameters}

    def adapted_layers(self) -> list[str]:
        names = dict.fromkeys(name for name, _ in self.rotations.named_values())
        if self.magnitude is not None:
            names |= dict.fromkeys(name for name, _ in self.magnitude.named_values())
        return list(names)

    def orthogonality_error(self) -> float | None:
        return self.rotations.orthogonality_error()

    def _parts(self) -> list[OFTAdapter | MagnitudeAdapter]:
        return [self.rotations] if self.magnitude is None else [self.rotations, self.magnitude]
