"""What the adapters of a model's layers share: finding the layers, holding their parameters, merging.

An adapter is a module that owns its parameters and becomes the model's child: it moves, is wrapped (DDP,
accelerate) and is listed with the model, whose own names stay as they are. Its layers, ``AdaptedLayer``, ask
it for their part.

A model may carry several adapters of a kind under different names; those enabled apply one after the other,
in the order in which they were put on (``activate`` chooses some of them).
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from oft.adapters.attaching import BASE_REMEDY, refuse_second
from oft.adapters.oft.adapting import adapt, restore
from oft.adapters.oft.layers import AdaptedLayer, Part, Slot
from oft.errors import ParamsError
from oft.weights import check_weights

DEFAULT_NAME = "default"


class LayerAdapter(nn.Module):
    """One parameter for each of a model's target layers, and what it does to them.

    Layers are known by their names in the model. Subclasses say which slot of ``AdaptedLayer`` they fill,
    and with what.
    """

    kind: ClassVar[str]
    slot: ClassVar[Slot]

    def __init__(self, model: nn.Module, initial: Mapping[str, Tensor], name: str = DEFAULT_NAME) -> None:
        """Take the slot in the layers named in ``initial`` and become ``model``'s child.

        Raises:
            ParamsError: the model has an adapter of this kind and name already, or ``name`` is no identifier.
        """
        super().__init__()
        self.child_name = child_name(self.kind, name)
        refuse_second(model, self.child_name)
        self.values = nn.ParameterDict()
        # Hidden in a list and a dictionary: as submodules they would make the model its own descendant.
        self._model = [model]
        self._layers: dict[str, AdaptedLayer] = {}
        self._parts: dict[str, Part] = {}
        self._enabled = True
        self._strength = 1.0
        for layer_name, value in initial.items():
            self.values[_key(layer_name)] = nn.Parameter(value)
            layer = adapt(model.get_submodule(layer_name))
            part = Part(partial(self._value_if_enabled, layer_name))
            getattr(layer, self.slot).append(part)
            self._layers[layer_name], self._parts[layer_name] = layer, part
        model.add_module(self.child_name, self)
        self.train(model.training)
        _LIVE_ADAPTERS.add(self)

    def parameter_of(self, name: str) -> nn.Parameter:
        """Return the parameter of layer ``name``."""
        return self.values[_key(name)]

    def layer_value(self, name: str) -> Tensor:
        """Return what the layer ``name`` applies, as part of the autograd graph."""
        value = self.parameter_of(name)
        return value if self._strength == 1.0 else value * self._strength

    def named_values(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield (layer name, parameter) in the model's order."""
        for name in self._layers:
            yield name, self.parameter_of(name)

    def adapter_parameters(self) -> list[nn.Parameter]:
        """Return the parameters to train."""
        return [value for _, value in self.named_values()]

    @property
    def num_parameters(self) -> int:
        """Return the number of trained scalars."""
        return sum(value.numel() for value in self.adapter_parameters())

    @torch.no_grad()
    def load_values(self, values: Mapping[str, Tensor]) -> None:
        """Take over parameters by layer name; a merged adapter is merged anew.

        Raises:
            CheckpointError: a layer is missing or unexpected, a shape differs, or a value is not finite.
        """
        own = dict(self.named_values())
        check_weights(self.child_name, own, values, BASE_REMEDY)
        for name, value in own.items():
            value.copy_(values[name])
        self._update_layers()

    @property
    def strength(self) -> float:
        """How much of the adapter applies: its parameters count times this. 0 is the base, 1 what was
        trained.

        A rotation stays one at every strength. For use at inference; a merged adapter is merged anew.
        """
        return self._strength

    @strength.setter
    def strength(self, strength: float) -> None:
        self._strength = float(strength)
        self._update_layers()

    @property
    def enabled(self) -> bool:
        """Whether the adapter applies at all."""
        return self._enabled

    def enable(self) -> None:
        """Let the adapter apply again, merged if it was."""
        self._set_enabled(True)

    def disable(self) -> None:
        """Leave the model without this adapter until ``enable``."""
        self._set_enabled(False)

    @property
    def merged(self) -> bool:
        """Whether the layers' weights are to contain the adapter, and do while it is enabled."""
        return any(part.merged for part in self._parts.values())

    def merge(self) -> None:
        """Put the adapted weight in place of each W, kept aside: inference then costs what the base does."""
        self._set_merged(True)

    def unmerge(self) -> None:
        """Put each W back, bit for bit."""
        self._set_merged(False)

    @contextmanager
    def merging(self) -> Iterator[None]:
        """Merged inside the block, as before after it."""
        merged = self.merged
        try:
            self.merge()
            yield
        finally:
            self._set_merged(merged)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Without this adapter inside the block, merged or not; as before after it."""
        enabled = self._enabled
        self._set_enabled(False)
        try:
            yield
        finally:
            self._set_enabled(enabled)

    def remove(self, keep_merged: bool = False) -> None:
        """Take the adapter off the model; with ``keep_merged`` a merged one stays in the weights for good.

        Raises:
            RuntimeError: a rotation is to stay, and an earlier one is on the model still.
        """
        if (
            keep_merged
            and self.merged
            and not all(layer.may_keep(self.slot, self._parts[name]) for name, layer in self._layers.items())
        ):
            raise RuntimeError(
                f"{self.child_name} cannot stay in the weights: rotations do so in their order; "
                "remove the earlier adapter first"
            )
        for name, layer in self._layers.items():
            layer.take_out(self.slot, self._parts[name], keep_merged)
            restore(layer)
        delattr(self._model[0], self.child_name)
        _LIVE_ADAPTERS.discard(self)

    def forward(self, x: Any) -> Any:
        """Return ``x``: a model that runs its children in turn (``nn.Sequential``) passes through."""
        return x

    def extra_repr(self) -> str:
        return f"{len(self._layers)} layers, {self.num_parameters:,} parameters, merged={self.merged}"

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        _LIVE_ADAPTERS.add(self)

    def after_optimizer_step(self) -> None:
        """Follow a change of the parameters; a hook calls it after each step of any optimizer holding them.

        Raises:
            RuntimeError: the adapter is merged, so that no gradient can have reached it.
        """
        if self.merged:
            raise RuntimeError(
                f"an optimizer stepped the parameters of a merged {self.child_name}; unmerge() it to train"
            )

    def _value_if_enabled(self, name: str) -> Tensor | None:
        return self.layer_value(name) if self._enabled else None

    def _set_enabled(self, enabled: bool) -> None:
        self._enabled = enabled
        self._update_layers()

    def _set_merged(self, merged: bool) -> None:
        if merged or self.merged:
            try:
                for name, layer in self._layers.items():
                    self._parts[name].merged = merged
                    layer.update_merged_weight()
            except ParamsError:  # a layer cannot: none is
                self._set_merged(False)
                raise

    def _update_layers(self) -> None:
        """Make the weights follow a change of this adapter, in layers where any part is folded in."""
        for layer in self._layers.values():
            if any(part.merged for part in (*layer.rotations, *layer.log_scales)):
                layer.update_merged_weight()


def activate(model: nn.Module, kind: type[LayerAdapter], *names: str) -> None:
    """Enable the model's adapters of a kind that are named, disable the others; no name leaves the base
    alone.

    Those enabled apply in the order in which they were put on the model, whatever the order of the names.

    Raises:
        ParamsError: the model has no such adapter.
    """
    present = {child_name: child for child_name, child in model.named_children() if isinstance(child, kind)}
    wanted = {child_name(kind.kind, name): name for name in names}
    missing = [name for child, name in wanted.items() if child not in present]
    if missing:
        raise ParamsError(
            f"{type(model).__name__} carries no {kind.kind} named {', '.join(map(repr, missing))}; "
            f"its own: {', '.join(present) or 'none'}"
        )
    for child, adapter in present.items():
        adapter._set_enabled(child in wanted)


def child_name(kind: str, name: str) -> str:
    """Return the name of the child that an adapter becomes: its kind, and its own name unless it is the
    default.

    Raises:
        ParamsError: the name could not be a child's.
    """
    if not name.isidentifier():
        raise ParamsError(
            f"an adapter's name must be letters, digits and _, and begin with no digit, got {name!r}"
        )
    return kind if name == DEFAULT_NAME else f"{kind}_{name}"


_LIVE_ADAPTERS: weakref.WeakSet[LayerAdapter] = weakref.WeakSet()


def _after_any_optimizer_step(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    # Without a gradient a parameter stays as it is. If none has one something is wrong: adapters may know.
    stepped = {id(parameter) for parameter in held if parameter.grad is not None} or set(map(id, held))
    for adapter in list(_LIVE_ADAPTERS):
        if not stepped.isdisjoint(map(id, adapter.adapter_parameters())):
            adapter.after_optimizer_step()


register_optimizer_step_post_hook(_after_any_optimizer_step)


def _key(name: str) -> str:
    return name.replace(".", "/")  # names of parameters cannot hold dots
