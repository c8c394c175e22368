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
from oft.adapters.hint.encoder import CHILD_NAME, HintEncoder, attach_hint
from oft.adapters.tensors import file_metadata, read_tensors, write_tensors
from oft.storage import write_json
from oft.weights import check_weights

TEXT_ENCODER_FOLDER = "text_encoder"
TEXT_ENCODER_WEIGHTS = "model.safetensors"


class Finetuned:
    """A network whose own weights are trained, with what they were before, on its device.

    Attributes:
        network: its child of the hint encoder, if any, is no part of it.
        originals: the base's weights by name.
    """

    def __init__(self, network: nn.Module) -> None:
        """Let every weight of ``network`` be trained."""
        self.network = network
        self.originals = {name: value.detach().clone() for name, value in self.parameters().items()}
        self._strength = 1.0
        self._trained: dict[str, Tensor] = {}  # kept while another strength than 1 applies
        for value in self.parameters().values():
            value.requires_grad_(True)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the network's own weights by name."""
        return {
            name: value
            for name, value in self.network.named_parameters()
            if not name.startswith(f"{CHILD_NAME}.")
        }

    def put(self, values: Mapping[str, Tensor]) -> None:
        """Set the weights."""
        with torch.no_grad():
            for name, value in self.parameters().items():
                value.copy_(values[name])

    def load(self, source: Path, base_hash: str | None) -> dict[str, str]:
        """Set the weights to a file's, and return its metadata.

        Raises:
            CheckpointError: the file is missing or damaged, or belongs to another base or network.
        """
        tensors, metadata = read_tensors(source, base_hash)
        check_weights(str(source), self.originals, tensors, BASE_REMEDY)
        self.put(tensors)
        return metadata

    def restore(self) -> None:
        """Put the base's weights back, frozen."""
        self.put(self.originals)
        for value in self.parameters().values():
            value.requires_grad_(False)

    @property
    def strength(self) -> float:
        """How far the weights are from the base's towards the trained ones."""
        return self._strength

    @strength.setter
    def strength(self, strength: float) -> None:
        if not self._trained:
            self._trained = {name: value.detach().clone() for name, value in self.parameters().items()}
        self._strength = strength
        if strength == 1.0:
            self.put(self._trained)
            self._trained = {}
        else:
            pairs = {name: (value, self._trained[name]) for name, value in self.originals.items()}
            self.put({name: torch.lerp(before, after, strength) for name, (before, after) in pairs.items()})

    def count(self) -> int:
        """Return the number of weights."""
        return sum(value.numel() for value in self.originals.values())


class FullAdapter(HintAdapter):
    """The weights themselves are the adapter, merged at all times; the base's are kept apart.

    Attributes:
        finetuned: the UNet.
        finetuned_text: the text encoder; None where it stays the base's.
    """

    method = "full"

    def __init__(
        self,
        unet: nn.Module,
        finetuned: Finetuned,
        encoder: HintEncoder | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Describe what is on ``unet`` already."""
        super().__init__(unet, encoder, metadata)
        self.finetuned = finetuned
        self.finetuned_text: Finetuned | None = None

    @classmethod
    def create(
        cls, unet: nn.Module, settings: Any, *, with_condition: bool, generator: torch.Generator
    ) -> FullAdapter:
        finetuned = Finetuned(unet)
        return cls(unet, finetuned, new_encoder(unet, generator) if with_condition else None)

    def train_text_encoder(self, text_encoder: nn.Module, generator: torch.Generator) -> None:
        self.finetuned_text = Finetuned(text_encoder)
        self.text_encoder = text_encoder

    @classmethod
    def load(cls, folder: Path, unet: nn.Module, *, base_hash: str | None = None) -> FullAdapter:
        folder = Path(folder)
        encoder = read_encoder(folder, base_hash, unet)
        finetuned = Finetuned(unet)
        metadata = finetuned.load(folder / UNET_FOLDER / DIFFUSERS_WEIGHTS_FILE, base_hash)
        if encoder is not None:
            attach_hint(unet, encoder)
        return cls(unet, finetuned, encoder, metadata)

    def load_text_encoder(self, folder: Path, text_encoder: nn.Module) -> None:
        source = Path(folder) / TEXT_ENCODER_FOLDER / TEXT_ENCODER_WEIGHTS
        if source.is_file():
            self.train_text_encoder(text_encoder, torch.Generator())
            assert self.finetuned_text is not None
            self.finetuned_text.load(source, None)

    def save(
        self,
        folder: Path,
        *,
        base_hash: str,
        base_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write the networks as diffusers and transformers read them, each in the folder that a pipeline has.

        ``UNet2DConditionModel.from_pretrained(folder, subfolder="unet")`` is the UNet.
        """
        common = {**(metadata or {}), **file_metadata(base_hash, base_name), "method": self.method}
        unet: Any = self.unet
        target = Path(folder) / UNET_FOLDER
        target.mkdir(parents=True, exist_ok=True)
        config = {name: value for name, value in unet.config.items() if name != "_name_or_path"}
        write_json(target / DIFFUSERS_CONFIG_FILE, {"_class_name": type(unet).__name__, **config})
        write_tensors(target / DIFFUSERS_WEIGHTS_FILE, self.finetuned.parameters(), common)
        if self.finetuned_text is not None:
            text_encoder: Any = self.text_encoder
            target = Path(folder) / TEXT_ENCODER_FOLDER
            target.mkdir(parents=True, exist_ok=True)
            write_json(target / DIFFUSERS_CONFIG_FILE, text_encoder.config.to_diff_dict())
            write_tensors(target / TEXT_ENCODER_WEIGHTS, self.finetuned_text.parameters(), common)
        save_encoder(Path(folder), self.encoder, common)

    def lost_by_merging(self) -> list[str]:
        lost = super().lost_by_merging()
        if self.finetuned_text is not None:
            lost.append("the trained text encoder is left out: what is merged is the UNet")
        return lost

    def remove(self) -> None:
        super().remove()
        for part in self._parts().values():
            part.restore()

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        named = {
            f"{network}.{name}": value
            for network, part in self._parts().items()
            for name, value in part.parameters().items()
        }
        return named | super().trained_parameters()

    @property
    def strength(self) -> float:
        return self.finetuned.strength

    @strength.setter
    def strength(self, strength: float) -> None:
        """Put the weights ``strength`` of the way from the base's to the trained ones."""
        for part in self._parts().values():
            part.strength = strength

    @property
    def merged(self) -> bool:
        return True

    def merge(self) -> None:
        """Change nothing: the weights are the adapter."""

    def unmerge(self) -> None:
        """Change nothing; ``remove`` puts the base's weights back."""

    def merged_values(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.finetuned.parameters().items()}

    @contextmanager
    def merging(self) -> Iterator[None]:
        yield

    def count_parameters(self) -> dict[str, int]:
        counts = {"adapter": self.finetuned.count()}
        if self.finetuned_text is not None:
            counts["text_encoder"] = self.finetuned_text.count()
        return counts | super().count_parameters()

    def adapted_layers(self) -> list[str]:
        """Return the layers of the UNet whose weight is a matrix or a kernel."""
        return [
            name.removesuffix(".weight")
            for name, value in self.finetuned.originals.items()
            if name.endswith(".weight") and value.dim() > 1
        ]

    def _parts(self) -> dict[str, Finetuned]:
        return {"unet": self.finetuned} | (
            {} if self.finetuned_text is None else {"text_encoder": self.finetuned_text}
        )
