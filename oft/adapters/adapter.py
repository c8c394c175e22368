"""What the adapters of a model's layers share: finding the layers, holding their parameters, merging.

An adapter is a module that owns its parameters and becomes the model's child: it moves, is wrapped (DDP,
accelerate) and is listed with the model, whose own names stay as they are. Its layers, ``AdaptedLayer``, ask
it for their part.

A model may carry several adapters of a kind under different names; those enabled apply one after the other,
in the order in which they were put on (``activate`` chooses some of them).
"""

from __future__ import annotations

import difflib
import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from oft.adapters.layers import AdaptedLayer, Part, Slot, adapt, is_adaptable, restore
from oft.errors import CheckpointError, ParamsError

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
            CheckpointError: a layer is missing or unexpected, or a shape differs.
        """
        own = dict(self.named_values())
        check_names_and_shapes(self.child_name, {name: value.shape for name, value in own.items()}, values)
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
            for name, layer in self._layers.items():
                self._parts[name].merged = merged
                layer.update_merged_weight()

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


def find_targets(model: nn.Module, patterns: Sequence[str] | str) -> dict[str, nn.Module]:
    """Return the linear layers and convolutions that patterns name, in the model's order.

    A list names layers by their names or what ends them after a dot; one string is a regular expression for
    the whole name. These are PEFT's rules for ``target_modules``.

    Raises:
        ParamsError: two layers share a weight; a pattern matches nothing, is no regular expression, or
        matches a module of another class.
    """
    targets: dict[str, nn.Module] = {}
    listed = [patterns] if isinstance(patterns, str) else patterns
    unmatched = dict.fromkeys(listed)
    adapters = [f"{name}." for name, module in model.named_modules() if isinstance(module, LayerAdapter)]
    for name, module in model.named_modules():
        matches = _matches(name, patterns)
        if not matches or f"{name}.".startswith(tuple(adapters)):
            continue
        if not is_adaptable(module):
            if isinstance(patterns, str):
                continue  # an expression for whole names sweeps over containers
            raise ParamsError(
                "target_modules: only plain torch.nn.Linear and torch.nn.Conv2d layers can be adapted, and "
                f"{matches[0]!r} matches {name!r}, a {type(module).__name__} (or one whose forward was "
                "replaced); narrow the pattern or take off what wraps the layer"
            )
        targets[name] = module
        for pattern in matches:
            unmatched.pop(pattern, None)
    _refuse_tied(targets)
    if unmatched:
        layers = [name for name, module in model.named_modules() if is_adaptable(module)]
        near = difflib.get_close_matches(next(iter(unmatched)), layers, n=3, cutoff=0.0)
        raise ParamsError(
            f"target_modules: every pattern must name a linear layer or a convolution, and "
            f"{', '.join(map(repr, unmatched))} names none of {type(model).__name__}'s; "
            f"layers near it: {', '.join(near) or 'none'}"
        )
    return targets


def _refuse_tied(targets: Mapping[str, nn.Module]) -> None:
    owners: dict[int, str] = {}
    for name, layer in targets.items():
        first = owners.setdefault(id(layer.weight), name)
        if first != name:
            raise ParamsError(
                f"target_modules: layers must have weights of their own, and {first!r} and {name!r} share "
                "one; leave one of them out"
            )


def _matches(name: str, patterns: Sequence[str] | str) -> list[str]:
    if not isinstance(patterns, str):
        return [pattern for pattern in patterns if name == pattern or name.endswith(f".{pattern}")]
    try:
        return [patterns] if re.fullmatch(patterns, name) else []
    except re.error as fault:
        raise ParamsError(
            f"target_modules: one string is a regular expression for whole names, and {patterns!r} is none "
            f"({fault}); give a list of name endings, or mend it"
        ) from fault


def freeze(model: nn.Module, keep: Sequence[str] = ()) -> None:
    """Stop the gradient of every parameter except those of the direct children named in ``keep``."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.split(".", 1)[0] in keep and parameter.requires_grad)


def zeros_beside(weight: Tensor, shape: Sequence[int]) -> Tensor:
    """Return zeros of ``shape`` on the device of ``weight`` and in its type, float32 at least."""
    return torch.zeros(*shape, dtype=torch.promote_types(weight.dtype, torch.float32), device=weight.device)


def refuse_second(model: nn.Module, child_name: str) -> None:
    """Refuse to put a second adapter of one kind on a model.

    Raises:
        ParamsError: the model has a child of that name.
    """
    if hasattr(model, child_name):
        raise ParamsError(
            f"{type(model).__name__} carries one {child_name} at a time and has one already; remove it first"
        )


def check_names_and_shapes(
    what: str, expected: Mapping[str, Sequence[int]], given: Mapping[str, Tensor]
) -> None:
    """Refuse parameters that belong to another architecture; ``what`` names them in the message.

    Raises:
        CheckpointError: names or shapes differ.
    """
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    if missing or unexpected:
        raise CheckpointError(
            f"{what}: the names must be those of the model's layers, and {len(missing)} are missing "
            f"({_first(missing)}), {len(unexpected)} unexpected ({_first(unexpected)}); "
            "use the base it was trained on"
        )
    for name, shape in expected.items():
        if tuple(shape) != tuple(given[name].shape):
            raise CheckpointError(
                f"{what}: {name!r} must have the shape {tuple(shape)} for this model, got "
                f"{tuple(given[name].shape)}; use the base and the settings it was trained with"
            )


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


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3) if names else "none"
