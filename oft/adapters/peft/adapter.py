"""A tuner of the PEFT library on a UNet as an ``Adapter``, with a hint encoder where there is a condition."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from oft.adapters.attaching import BASE_REMEDY
from oft.adapters.files import ADAPTER_FILE, CONFIG_FILE, LORA_FILE
from oft.adapters.hint.adapter import HintAdapter, new_encoder, read_encoder, save_encoder
from oft.adapters.hint.encoder import HintEncoder, attach_hint
from oft.adapters.peft.allocation import allocation_state, load_allocation_state
from oft.adapters.peft.config import config_values, make_config, read_config
from oft.adapters.peft.method import PeftSettings
from oft.adapters.targets import default_targets
from oft.adapters.tensors import file_metadata, read_tensors, write_tensors
from oft.errors import CheckpointError, ParamsError
from oft.storage import read_json, write_json
from oft.weights import check_weights

ADAPTER_NAME = "default"
# Largest change of a layer's output by a new tuner, relative to the output: rounding of float32.
IDENTITY_TOLERANCE = 1e-4


class PeftAdapter(HintAdapter):
    """PEFT's tuner does what a forward pass does; merged weights, and fractions of them, are put in here.

    (PEFT unmerges by subtracting, which leaves rounding behind, and knows no strength that all tuners share.)

    Attributes:
        tuned: PEFT's model around the UNet, whose layers it has replaced in place.
    """

    method = "peft"

    def __init__(
        self,
        unet: nn.Module,
        tuned: PeftModel,
        encoder: HintEncoder | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Describe what is on ``unet`` already."""
        super().__init__(unet, encoder, metadata)
        self.tuned = tuned
        self._tuner: Any = tuned.base_model
        self._trained = {f"adapter.{name}": value for name, value in _trainable(unet)}
        self._strength = 1.0
        self._originals: dict[str, Tensor] = {}  # of the weights that merging has changed

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
        config = make_config(settings, default_targets(with_condition=with_condition))
        before = {name: value.clone() for name, value in unet.state_dict().items()}
        tuned = _put_on(unet, config, generator)
        adapter = cls(unet, tuned)
        adapter._refuse_another_start(before)
        return cls(unet, tuned, new_encoder(unet, generator) if with_condition else None)

    @classmethod
    def load(cls, folder: Path, unet: nn.Module, *, base_hash: str | None = None) -> PeftAdapter:
        folder = Path(folder)
        tensors, metadata = read_tensors(folder / ADAPTER_FILE, base_hash)
        try:
            config = read_config(read_json(folder / CONFIG_FILE), str(folder / CONFIG_FILE))
        except (OSError, ValueError, ParamsError) as fault:
            raise CheckpointError(f"{folder / CONFIG_FILE}: must say what the tuner is: {fault}") from fault
        encoder = read_encoder(folder, base_hash, unet)
        config.inference_mode = False
        try:
            tuned = _put_on(unet, config, torch.Generator())
            _fill(tuned, tensors, folder / ADAPTER_FILE)
        except ParamsError as fault:
            raise CheckpointError(f"{folder}: must fit the base; {fault}; {BASE_REMEDY}") from fault
        if encoder is not None:
            attach_hint(unet, encoder)
        return cls(unet, tuned, encoder, metadata)

    def save(
        self,
        folder: Path,
        *,
        base_hash: str,
        base_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write PEFT's folder, of LoRA also diffusers' file for ``load_lora_weights``, and the encoder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.save_for_peft(folder, base_hash=base_hash, base_name=base_name)
        common = {**(metadata or {}), **file_metadata(base_hash, base_name)}
        write_tensors(folder / ADAPTER_FILE, self._state(), {**common, "method": self.method})
        if self._config.peft_type == "LORA":
            write_tensors(folder / LORA_FILE, _diffusers_names(self._state()), common)
        save_encoder(folder, self.encoder, common)

    def save_for_peft(self, folder: Path, *, base_hash: str, base_name: str | None = None) -> list[str]:
        values = config_values(self._config)
        write_json(
            folder / CONFIG_FILE, {**values, "inference_mode": True, "base_model_name_or_path": base_name}
        )
        write_tensors(folder / ADAPTER_FILE, self._state(), file_metadata(base_hash, base_name))
        return self.lost_by_merging()

    def _state(self) -> dict[str, Tensor]:
        state = _tuner_state(self.tuned)
        # A copy each: layers of some tuners share tensors, which safetensors refuses.
        return {name: value.clone() for name, value in sorted(state.items()) if "hint_encoder" not in name}

    def remove(self) -> None:
        self.unmerge()
        super().remove()
        self._tuner.unload()

    # ---- Trained

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        return self._trained | super().trained_parameters()

    def before_step(self, seed: int) -> None:
        """Let a tuner that draws, for dropout say, draw what the seed says: it asks torch's own generator."""
        for layer in self._layers().values():
            layer.train()
        torch.manual_seed(seed)

    def after_step(self, step: int) -> None:
        """Let AdaLoRA give its budget of ranks out anew."""
        if hasattr(self._tuner, "rankallocator"):
            self._tuner.update_and_allocate(step)

    def training_state(self) -> dict[str, Tensor]:
        return allocation_state(self._tuner)

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        load_allocation_state(self._tuner, state)

    def after_training(self) -> None:
        for layer in self._layers().values():
            layer.eval()

    # ---- Applied

    @property
    def strength(self) -> float:
        return self._strength

    @strength.setter
    def strength(self, strength: float) -> None:
        """Let the change of the weights apply ``strength`` times; but for 0 and 1 it is merged at once.

        Raises:
            ParamsError: the tuner cannot be merged.
        """
        merged = self.merged
        self.unmerge()
        self._strength = strength
        if strength in (0.0, 1.0):
            self._enable(strength == 1.0)
        if merged or strength not in (0.0, 1.0):
            self.merge()
        if not self.merged and strength not in (0.0, 1.0):
            self._strength = 1.0
            raise ParamsError(
                f"strength ({strength}) must be 0 or 1 for the tuner {self._config.peft_type.value}, whose "
                "change is not one of the weights"
            )

    @property
    def merged(self) -> bool:
        return bool(self._originals)

    def merge(self) -> None:
        """Put ``strength`` times the tuner's change into the weights, if it is a change of weights."""
        if self.merged:
            return
        originals = {name: value.clone() for name, value in self._base_values()}
        changed = self._merged_values(originals)
        if changed is None:
            return
        self._originals = originals
        self._enable(False)
        with torch.no_grad():
            for name, value in self._base_values():
                if self._strength == 1.0:
                    value.copy_(changed[name])
                elif self._strength:
                    value.add_(changed[name] - value, alpha=self._strength)

    def unmerge(self) -> None:
        if not self.merged:
            return
        with torch.no_grad():
            for name, value in self._base_values():
                value.copy_(self._originals[name])
        self._originals = {}
        self._enable(self._strength != 0.0)

    def _merged_values(self, originals: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Return what PEFT's merging makes of the weights, leaving them as they were; None if it cannot."""
        changed = None
        self._enable(True)
        try:
            with _without_hints():
                self._tuner.merge_adapter()
                changed = {name: value.clone() for name, value in self._base_values()}
                self._tuner.unmerge_adapter()
        except (NotImplementedError, ValueError):  # PEFT's words for tuners that cannot merge, or unmerge
            for layer in self._layers().values():
                layer.merged_adapters = []
        with torch.no_grad():
            for name, value in self._base_values():
                value.copy_(originals[name])
        return changed

    def _enable(self, enabled: bool) -> None:
        for layer in self._layers().values():
            layer.enable_adapters(enabled)

    # ---- Described

    def count_parameters(self) -> dict[str, int]:
        return {
            "adapter": sum(value.numel() for value in self._trained.values()),
            **super().count_parameters(),
        }

    def adapted_layers(self) -> list[str]:
        """Return the layers whose weight, a matrix or a kernel, differs when merged."""
        merged = self.merged
        self.merge()
        try:
            return [
                name
                for name in self._layers()
                if (original := self._originals.get(f"{name}.weight")) is not None
                and original.dim() > 1
                and not torch.equal(original, self.unet.get_parameter(f"{name}.weight"))
            ]
        finally:
            if not merged:
                self.unmerge()

    # ---- PEFT's parts

    @property
    def _config(self) -> Any:
        return self.tuned.peft_config[ADAPTER_NAME]

    def _layers(self) -> dict[str, Any]:
        """Return PEFT's layers, modules that have the base's own inside, by the names of those."""
        return {name: layer for name, layer in self.unet.named_modules() if isinstance(layer, BaseTunerLayer)}

    def _base_values(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters of the layers under the tuner, by the names that they have without it."""
        for name, layer in self._layers().items():
            for own, value in layer.get_base_layer().named_parameters():
                yield f"{name}.{own}", value

    def _refuse_another_start(self, before: Mapping[str, Tensor]) -> None:
        """Refuse a tuner that changes the base's weights, or what a layer puts out, before it is trained."""
        tuner = self._config.peft_type.value
        for name, value in self._base_values():
            if not torch.equal(value, before[name]):
                raise ParamsError(
                    f"{tuner}: must start with the base's weights as they are, and changes {name}; use "
                    "another way of starting (init_lora_weights: true for LORA)"
                )
        generator = torch.Generator().manual_seed(0)
        for name, layer in self._layers().items():
            own = layer.get_base_layer()
            inputs = torch.randn(_input_shape(own), generator=generator).to(value.device)
            with torch.no_grad():
                expected, found = own(inputs), layer(inputs)
            if (found - expected).abs().max() > IDENTITY_TOLERANCE * (1 + expected.abs().max()):
                raise ParamsError(
                    f"{tuner}: must start as the base, and what {name} puts out changes; use another way of "
                    "starting (init_weights: true where the tuner has it)"
                )


def _input_shape(layer: nn.Module) -> tuple[int, ...]:
    if isinstance(layer, nn.Conv2d):
        return (1, layer.in_channels, 8, 8)
    weight: Any = layer.weight
    return (2, weight.shape[-1])


def _put_on(unet: nn.Module, config: Any, generator: torch.Generator) -> PeftModel:
    """Return PEFT's model around ``unet``; what a tuner draws at its start follows from ``generator``."""
    if any(isinstance(layer, BaseTunerLayer) for layer in unet.modules()):
        raise ParamsError(f"{type(unet).__name__} carries a tuner of PEFT already; remove it first")
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    try:
        with torch.random.fork_rng(devices=[]), _without_hints():
            torch.manual_seed(seed)
            return PeftModel(unet, config, adapter_name=ADAPTER_NAME)
    except (ValueError, TypeError, NotImplementedError, RuntimeError, KeyError) as fault:
        raise ParamsError(f"PEFT's {config.peft_type.value} cannot adapt these layers: {fault}") from fault


def _tuner_state(tuned: PeftModel) -> dict[str, Tensor]:
    # Looking for embedding layers would ask the hub about the base.
    with _without_hints():
        state: dict[str, Tensor] = get_peft_model_state_dict(
            tuned, adapter_name=ADAPTER_NAME, save_embedding_layers=False
        )
    return state


@contextmanager
def _without_hints() -> Iterator[None]:
    """Keep back what PEFT says of its insides: extensions it does without, rounding that is undone here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"peft\.")
        yield


def _fill(tuned: PeftModel, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Put saved values into a tuner, all of them and no others."""
    expected = _tuner_state(tuned)
    if tuned.peft_config[ADAPTER_NAME].peft_type != "ADALORA":  # the ranks it has left decide its shapes
        check_weights(str(source), expected, tensors, BASE_REMEDY)
    set_peft_model_state_dict(tuned, dict(tensors), adapter_name=ADAPTER_NAME)


def _trainable(unet: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, value in unet.named_parameters():
        if value.requires_grad and not name.startswith("hint_encoder."):
            yield name, value


def _diffusers_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a LoRA's tensors under the names that ``load_lora_weights`` reads for a UNet."""
    return {f"unet.{name.removeprefix('base_model.model.')}": value for name, value in state.items()}
