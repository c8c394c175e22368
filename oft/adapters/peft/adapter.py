"""A tuner of the PEFT library on a UNet as an ``Adapter``, with a hint encoder where there is a condition."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oft.adapters.attaching import BASE_REMEDY, freeze
from oft.adapters.bases import hub_reference
from oft.adapters.files import ADAPTER_FILE, CONFIG_FILE, LORA_FILE
from oft.adapters.hint.adapter import HintAdapter, new_encoder, read_encoder, save_encoder
from oft.adapters.hint.encoder import HintEncoder, attach_hint
from oft.adapters.peft.allocation import allocation_state, load_allocation_state
from oft.adapters.peft.config import config_values, make_config, read_config
from oft.adapters.peft.method import PeftSettings
from oft.adapters.peft.tuner import Tuner
from oft.adapters.targets import TEXT_ENCODER_TARGETS, default_targets
from oft.adapters.tensors import file_metadata, read_tensors, write_tensors
from oft.errors import CheckpointError, ParamsError
from oft.storage import read_json, write_json

TEXT_ENCODER = "text_encoder"


class PeftAdapter(HintAdapter):
    """A tuner on the UNet, and one of the same kind on the text encoder where that is trained too.

    Attributes:
        tuner: the UNet's.
        text_tuner: the text encoder's; None where it stays the base's.
    """

    method = "peft"

    def __init__(
        self,
        unet: nn.Module,
        tuner: Tuner,
        settings: PeftSettings | None = None,
        encoder: HintEncoder | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Describe what is on ``unet`` already."""
        super().__init__(unet, encoder, metadata)
        self.tuner = tuner
        self.text_tuner: Tuner | None = None
        self._settings = settings

    @classmethod
    def create(
        cls, unet: nn.Module, settings: Any, *, with_condition: bool, generator: torch.Generator
    ) -> PeftAdapter:
        """Put a new tuner on ``unet``.

        Raises:
            ParamsError: PEFT has no such tuner or setting, refuses a value or a layer, or the tuner would not
                start as the base.
        """
        assert isinstance(settings, PeftSettings)
        targets = settings.target_modules or default_targets(with_condition=with_condition)
        tuner = _new_tuner(unet, make_config(settings, targets), generator)
        return cls(unet, tuner, settings, new_encoder(unet, generator) if with_condition else None)

    def train_text_encoder(self, text_encoder: nn.Module, generator: torch.Generator) -> None:
        assert self._settings is not None
        freeze(text_encoder)
        self.text_tuner = _new_tuner(
            text_encoder, make_config(self._settings, TEXT_ENCODER_TARGETS), generator
        )
        self.text_encoder = text_encoder

    @classmethod
    def load(cls, folder: Path, unet: nn.Module, *, base_hash: str | None = None) -> PeftAdapter:
        folder = Path(folder)
        encoder = read_encoder(folder, base_hash, unet)
        tuner, metadata = _load_tuner(folder, unet, base_hash)
        if encoder is not None:
            attach_hint(unet, encoder)
        return cls(unet, tuner, None, encoder, metadata)

    def load_text_encoder(self, folder: Path, text_encoder: nn.Module) -> None:
        if (Path(folder) / TEXT_ENCODER / ADAPTER_FILE).is_file():
            freeze(text_encoder)
            self.text_tuner, _ = _load_tuner(Path(folder) / TEXT_ENCODER, text_encoder, None)
            self.text_encoder = text_encoder

    def save(
        self,
        folder: Path,
        *,
        base_hash: str,
        base_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write PEFT's folder, of LoRA also diffusers' file for ``load_lora_weights``, and the encoder.

        The text encoder's tuner has a folder of its own below it, and a part of diffusers' file.
        """
        folder = Path(folder)
        common = {**(metadata or {}), **file_metadata(base_hash, base_name)}
        for part, tuner in self._tuners().items():
            _save_tuner(folder / part, tuner, {**common, "method": self.method}, base_name)
        if self.tuner.kind == "LORA":
            write_tensors(folder / LORA_FILE, self._lora_values(), common)
        save_encoder(folder, self.encoder, common)

    def save_for_peft(self, folder: Path, *, base_hash: str, base_name: str | None = None) -> list[str]:
        for part, tuner in self._tuners().items():
            _save_tuner(folder / part, tuner, file_metadata(base_hash, base_name), base_name)
        return self.lost_by_merging()

    def lora_state(self) -> dict[str, Tensor] | None:
        """Return a LoRA's factors; None for other tuners, and for DoRA, which has more than factors."""
        if self.tuner.kind != "LORA" or self.tuner.config.use_dora:
            return None
        return self._lora_values()

    def lost_by_merging(self) -> list[str]:
        lost = super().lost_by_merging()
        if self.text_tuner is not None:
            lost.append("the text encoder's tuner is left out: what is merged is the UNet")
        return lost

    def remove(self) -> None:
        super().remove()
        for tuner in self._tuners().values():
            tuner.remove()

    # ---- Trained

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        named = {
            f"{part or 'adapter'}.{name}": value
            for part, tuner in self._tuners().items()
            for name, value in tuner.trained.items()
        }
        return named | super().trained_parameters()

    def before_step(self, seed: int) -> None:
        """Let a tuner that draws, for dropout say, draw what the seed says: it asks torch's own generator."""
        self._train_layers(True)
        torch.manual_seed(seed)

    def after_step(self, step: int) -> None:
        """Let AdaLoRA give its budget of ranks out anew."""
        for tuner in self._tuners().values():
            if hasattr(tuner.model, "rankallocator"):
                tuner.model.update_and_allocate(step)

    def training_state(self) -> dict[str, Tensor]:
        return {
            f"{part}:{name}": value
            for part, tuner in self._tuners().items()
            for name, value in allocation_state(tuner.model).items()
        }

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        for part, tuner in self._tuners().items():
            prefix = f"{part}:"
            own = {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
            load_allocation_state(tuner.model, own)

    def after_training(self) -> None:
        self._train_layers(False)

    def _train_layers(self, training: bool) -> None:
        for tuner in self._tuners().values():
            for layer in tuner.layers().values():
                layer.train(training)

    # ---- Applied

    @property
    def strength(self) -> float:
        return self.tuner.strength

    @strength.setter
    def strength(self, strength: float) -> None:
        """Let the change of the weights apply ``strength`` times; but for 0 and 1 it is merged at once.

        Raises:
            ParamsError: the tuner cannot be merged.
        """
        for tuner in self._tuners().values():
            tuner.strength = strength

    @property
    def merged(self) -> bool:
        return self.tuner.merged

    def merge(self) -> None:
        for tuner in self._tuners().values():
            tuner.merge()

    def unmerge(self) -> None:
        for tuner in self._tuners().values():
            tuner.unmerge()

    def merged_values(self) -> dict[str, Tensor]:
        return self.tuner.merged_values()

    # ---- Described

    def count_parameters(self) -> dict[str, int]:
        counts = {
            part or "adapter": sum(value.numel() for value in tuner.trained.values())
            for part, tuner in self._tuners().items()
        }
        return counts | super().count_parameters()

    def adapted_layers(self) -> list[str]:
        return self.tuner.changed_layers()

    def _lora_values(self) -> dict[str, Tensor]:
        return {
            f"{part or 'unet'}.{name}": value
            for part, tuner in self._tuners().items()
            for name, value in tuner.lora_state().items()
        }

    def _tuners(self) -> dict[str, Tuner]:
        """Return the tuners by the folder of each, '' for the UNet's."""
        return {"": self.tuner} | ({} if self.text_tuner is None else {TEXT_ENCODER: self.text_tuner})


def _new_tuner(network: nn.Module, config: Any, generator: torch.Generator) -> Tuner:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tuner = Tuner(network, config, generator)
    tuner.refuse_another_start(before)
    return tuner


def _save_tuner(folder: Path, tuner: Tuner, metadata: Mapping[str, str], base_name: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    values = config_values(tuner.config)
    base = {"base_model_name_or_path": base_name, **hub_reference(base_name)}
    write_json(folder / CONFIG_FILE, {**values, "inference_mode": True, **base})
    write_tensors(folder / ADAPTER_FILE, tuner.state(), metadata)


def _load_tuner(folder: Path, network: nn.Module, base_hash: str | None) -> tuple[Tuner, dict[str, str]]:
    """Return the tuner saved in a PEFT folder, on ``network``, and its file's metadata."""
    tensors, metadata = read_tensors(folder / ADAPTER_FILE, base_hash)
    try:
        config = read_config(read_json(folder / CONFIG_FILE), str(folder / CONFIG_FILE))
    except (OSError, ValueError, ParamsError) as fault:
        raise CheckpointError(f"{folder / CONFIG_FILE}: must say what the tuner is: {fault}") from fault
    config.inference_mode = False
    try:
        tuner = Tuner(network, config, torch.Generator())
    except ParamsError as fault:
        raise CheckpointError(f"{folder}: must fit the base; {fault}; {BASE_REMEDY}") from fault
    tuner.load(tensors, str(folder / ADAPTER_FILE))
    return tuner, metadata
