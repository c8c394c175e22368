"""A tuner of the PEFT library on one network: put on, merged in part, undone bit for bit, read, written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from oft.adapters.attaching import BASE_REMEDY
from oft.errors import ParamsError
from oft.weights import check_weights

ADAPTER_NAME = "default"
# Largest change of a layer's output by a new tuner, relative to the output: rounding of float32.
IDENTITY_TOLERANCE = 1e-4


class Tuner:
    """PEFT does what a forward pass does; merged weights, and fractions of them, are put in here.

    (PEFT unmerges by subtracting, which leaves rounding behind, and knows no strength that all tuners share.)

    Attributes:
        network: what carries the tuner; PEFT has replaced layers of it in place.
        trained: what training moves, by name.
    """

    def __init__(self, network: nn.Module, config: Any, generator: torch.Generator) -> None:
        """Put a tuner on ``network``, which is frozen; what it draws at its start follows from ``generator``.

        Raises:
            ParamsError: the network carries one already, or PEFT refuses a layer.
        """
        if any(isinstance(layer, BaseTunerLayer) for layer in network.modules()):
            raise ParamsError(f"{type(network).__name__} carries a tuner of PEFT already; remove it first")
        seed = int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))
        try:
            with torch.random.fork_rng(devices=[]), _without_hints():
                torch.manual_seed(seed)
                self._tuned = PeftModel(network, config, adapter_name=ADAPTER_NAME)
        except (ValueError, TypeError, NotImplementedError, RuntimeError, KeyError) as fault:
            raise ParamsError(
                f"PEFT's {config.peft_type.value} cannot adapt these layers: {fault}"
            ) from fault
        self.network = network
        self.trained = self._trainable()
        self._strength = 1.0
        self._originals: dict[str, Tensor] = {}  # of the weights of its layers, while merged
        self._changed: set[str] = set()  # those of them that merging at full strength changes

    @property
    def config(self) -> Any:
        """PEFT's configuration."""
        return self._tuned.peft_config[ADAPTER_NAME]

    @property
    def kind(self) -> str:
        """PEFT's name of the tuner, such as LORA."""
        return str(self.config.peft_type.value)

    @property
    def model(self) -> Any:
        """PEFT's own model of the tuner."""
        return self._tuned.base_model

    def layers(self) -> dict[str, Any]:
        """Return PEFT's layers, modules that have the base's own inside, by the names of those."""
        return {
            name: layer for name, layer in self.network.named_modules() if isinstance(layer, BaseTunerLayer)
        }

    def remove(self) -> None:
        """Put the network back as it was."""
        self.unmerge()
        self.model.unload()

    def refuse_another_start(self, before: Mapping[str, Tensor]) -> None:
        """Refuse a tuner that changes the base's weights, or what a layer puts out, before it is trained.

        Where the network has shapes alone (on the device "meta") there is nothing to compare.

        Args:
            before: the network's weights without it.

        Raises:
            ParamsError: it does.
        """
        if any(value.is_meta for value in before.values()):
            return
        generator = torch.Generator().manual_seed(0)
        for name, value in self._base_values():
            if not torch.equal(value, before[name]):
                raise ParamsError(
                    f"{self.kind}: must start with the base's weights as they are, and changes {name}; use "
                    "another way of starting (init_lora_weights: true for LORA)"
                )
        for name, layer in self.layers().items():
            own = layer.get_base_layer()
            inputs = torch.randn(_input_shape(own), generator=generator).to(own.weight.device)
            with torch.no_grad():
                expected, found = own(inputs), layer(inputs)
            if (found - expected).abs().max() > IDENTITY_TOLERANCE * (1 + expected.abs().max()):
                raise ParamsError(
                    f"{self.kind}: must start as the base, and what {name} puts out changes; use another way "
                    "of starting (init_weights: true where the tuner has it)"
                )

    # ---- Read and written

    def state(self) -> dict[str, Tensor]:
        """Return the tuner's values by the names that PEFT's files have."""
        # Looking for embedding layers would ask the hub about the base.
        with _without_hints():
            state = get_peft_model_state_dict(
                self._tuned, adapter_name=ADAPTER_NAME, save_embedding_layers=False
            )
        # A copy each: layers of some tuners share tensors, which safetensors refuses.
        return {name: value.clone() for name, value in sorted(state.items())}

    def load(self, tensors: Mapping[str, Tensor], what: str) -> None:
        """Put saved values in, all of them and no others; ``what`` names them in messages.

        Raises:
            CheckpointError: a value is missing, unexpected, or of another shape.
        """
        if self.kind != "ADALORA":  # the ranks it has left decide its shapes
            check_weights(what, self.state(), tensors, BASE_REMEDY)
        set_peft_model_state_dict(self._tuned, dict(tensors), adapter_name=ADAPTER_NAME)
        self.trained = self._trainable()  # AdaLoRA's have new shapes

    def lora_state(self) -> dict[str, Tensor]:
        """Return a LoRA's values by the layers' names, its scale in B, so that a reader needs no alpha."""
        layers = self.layers()
        state = {}
        for name, value in self.state().items():
            own = name.removeprefix("base_model.model.")
            layer, _, part = own.partition(".lora_")
            scale = layers[layer].scaling[ADAPTER_NAME] if part.startswith("B.") else 1.0
            state[own] = value * scale
        return state

    # ---- Applied

    @property
    def strength(self) -> float:
        """How much of the change to the weights applies."""
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
        between = strength not in (0.0, 1.0)
        self._enable(strength != 0.0)
        if merged or between:
            self.merge()
        if between and not self.merged:
            self._strength = 1.0
            raise ParamsError(
                f"strength ({strength}) must be 0 or 1 for the tuner {self.kind}, whose change is not one of "
                "the weights"
            )

    @property
    def merged(self) -> bool:
        """Whether the weights contain the tuner's change."""
        return bool(self._originals)

    def merge(self) -> None:
        """Put ``strength`` times the tuner's change into the weights, if it is a change of weights."""
        if self.merged:
            return
        originals = {name: value.clone() for name, value in self._base_values()}
        changed = self._merged_values(originals)
        if changed is None:
            self._enable(self._strength != 0.0)
            return
        self._originals = originals
        self._changed = {name for name, value in originals.items() if not torch.equal(value, changed[name])}
        self._enable(False)
        with torch.no_grad():
            for name, value in self._base_values():
                if self._strength == 1.0:
                    value.copy_(changed[name])
                elif self._strength:
                    value.add_(changed[name] - value, alpha=self._strength)

    def unmerge(self) -> None:
        """Put the weights back, bit for bit."""
        if not self.merged:
            return
        self._put(self._originals)
        self._originals = {}
        self._enable(self._strength != 0.0)

    def merged_values(self) -> dict[str, Tensor]:
        """Return copies of the parameters that merging changes, as they are then; empty if it cannot."""
        merged = self.merged
        self.merge()
        values = {
            name: value.detach().clone()
            for name, value in self._base_values()
            if self.merged and name in self._changed
        }
        if not merged:
            self.unmerge()
        return values

    def changed_layers(self) -> list[str]:
        """Return the layers whose weight, a matrix or a kernel, differs when merged."""
        return [
            name.removesuffix(".weight")
            for name, value in self.merged_values().items()
            if name.endswith(".weight") and value.dim() > 1
        ]

    def _merged_values(self, originals: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Return what PEFT's merging makes of the weights, leaving them as they were; None if it cannot."""
        changed = None
        self._enable(True)
        try:
            with _without_hints():
                self.model.merge_adapter()
                changed = {name: value.clone() for name, value in self._base_values()}
                self.model.unmerge_adapter()
        except (NotImplementedError, ValueError):  # PEFT's words for tuners that cannot merge, or unmerge
            for layer in self.layers().values():
                layer.merged_adapters = []
        self._put(originals)
        return changed

    def _trainable(self) -> dict[str, nn.Parameter]:
        return {name: value for name, value in self.network.named_parameters() if value.requires_grad}

    def _enable(self, enabled: bool) -> None:
        for layer in self.layers().values():
            layer.enable_adapters(enabled)

    def _base_values(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters of the layers under the tuner, by the names that they have without it."""
        for name, layer in self.layers().items():
            for own, value in layer.get_base_layer().named_parameters():
                yield f"{name}.{own}", value

    def _put(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self._base_values():
                value.copy_(values[name])


def _input_shape(layer: nn.Module) -> tuple[int, ...]:
    if isinstance(layer, nn.Conv2d):
        return (1, layer.in_channels, 8, 8)
    weight: Any = layer.weight
    return (2, weight.shape[-1])


@contextmanager
def _without_hints() -> Iterator[None]:
    """Keep back what PEFT says of its insides: extensions it does without, rounding that is undone here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
