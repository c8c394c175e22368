"""Every weight of a UNet trained, as an ``Adapter``; with a hint encoder where there is a condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oft.adapters.attaching import BASE_REMEDY
from oft.adapters.files import DIFFUSERS_CONFIG_FILE, DIFFUSERS_WEIGHTS_FILE
from oft.adapters.full.method import UNET_FOLDER
from oft.adapters.hint.adapter import HintAdapter, new_encoder, read_encoder, save_encoder
from oft.adapters.hint.encoder import HintEncoder, attach_hint
from oft.adapters.tensors import file_metadata, read_tensors, write_tensors
from oft.errors import ParamsError
from oft.storage import write_json
from oft.weights import check_weights


class FullAdapter(HintAdapter):
    """The UNet's own weights are the adapter, merged at all times; the base's weights are kept apart.

    Attributes:
        originals: the base's weights by name, on the device of the UNet.
    """

    method = "full"

    def __init__(
        self,
        unet: nn.Module,
        originals: Mapping[str, Tensor],
        encoder: HintEncoder | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Describe what is on ``unet`` already: trained weights, and ``originals`` in their place before."""
        super().__init__(unet, encoder, metadata)
        self.originals = dict(originals)
        self._strength = 1.0
        self._trained: dict[str, Tensor] = {}  # kept while another strength than 1 applies
        unet.requires_grad_(True)

    @classmethod
    def create(
        cls, unet: nn.Module, settings: Any, *, with_condition: bool, generator: torch.Generator
    ) -> FullAdapter:
        originals = _copy(unet)
        return cls(unet, originals, new_encoder(unet, generator) if with_condition else None)

    @classmethod
    def load(cls, folder: Path, unet: nn.Module, *, base_hash: str | None = None) -> FullAdapter:
        folder = Path(folder)
        source = folder / UNET_FOLDER / DIFFUSERS_WEIGHTS_FILE
        tensors, metadata = read_tensors(source, base_hash)
        check_weights(str(source), unet.state_dict(), tensors, BASE_REMEDY)
        encoder = read_encoder(folder, base_hash, unet)
        originals = _copy(unet)
        unet.load_state_dict(tensors)
        if encoder is not None:
            attach_hint(unet, encoder)
        return cls(unet, originals, encoder, metadata)

    def save(
        self,
        folder: Path,
        *,
        base_hash: str,
        base_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write the UNet as ``UNet2DConditionModel.from_pretrained(folder, subfolder="unet")`` reads it."""
        target = Path(folder) / UNET_FOLDER
        target.mkdir(parents=True, exist_ok=True)
        unet: Any = self.unet
        config = {name: value for name, value in unet.config.items() if name != "_name_or_path"}
        write_json(target / DIFFUSERS_CONFIG_FILE, {"_class_name": type(unet).__name__, **config})
        common = {**(metadata or {}), **file_metadata(base_hash, base_name), "method": self.method}
        write_tensors(target / DIFFUSERS_WEIGHTS_FILE, _own_values(self.unet), common)
        save_encoder(Path(folder), self.encoder, common)

    def remove(self) -> None:
        super().remove()
        self._put(self.originals)
        self.unet.requires_grad_(False)

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        own = {f"unet.{name}": value for name, value in self.unet.named_parameters() if _is_own(name)}
        return own | super().trained_parameters()

    @property
    def strength(self) -> float:
        return self._strength

    @strength.setter
    def strength(self, strength: float) -> None:
        """Put the weights ``strength`` of the way from the base's to the trained ones."""
        if not self._trained:
            self._trained = _copy(self.unet)
        self._strength = strength
        if strength == 1.0:
            self._put(self._trained)
            self._trained = {}
        else:
            self._put(
                {
                    name: torch.lerp(original, self._trained[name], strength)
                    for name, original in self.originals.items()
                }
            )

    @property
    def merged(self) -> bool:
        return True

    def merge(self) -> None:
        """Change nothing: the weights are the adapter."""

    def unmerge(self) -> None:
        """Change nothing; ``remove`` puts the base's weights back."""

    @contextmanager
    def merging(self) -> Iterator[None]:
        yield

    def count_parameters(self) -> dict[str, int]:
        own = sum(value.numel() for value in _own_values(self.unet).values())
        return {"adapter": own, **super().count_parameters()}

    def adapted_layers(self) -> list[str]:
        """Return the layers whose weight is a matrix or a kernel."""
        return [
            name.removesuffix(".weight")
            for name, value in self.originals.items()
            if name.endswith(".weight") and value.dim() > 1
        ]

    def _put(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self.unet.named_parameters():
                if _is_own(name):
                    value.copy_(values[name])


def _is_own(name: str) -> bool:
    return not name.startswith("hint_encoder.")


def _own_values(unet: nn.Module) -> dict[str, Tensor]:
    """Return a UNet's parameters by name, without those of a hint encoder."""
    if any(True for _ in unet.buffers()):
        raise ParamsError(
            f"{type(unet).__name__} has buffers, which full finetuning does not keep; use another base"
        )
    return {name: value.detach() for name, value in unet.named_parameters() if _is_own(name)}


def _copy(unet: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in _own_values(unet).items()}
