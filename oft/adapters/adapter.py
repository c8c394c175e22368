"""What the adapters of a model's linear layers share: finding the layers, holding their parameters, merging.

An adapter is a module that owns its parameters and becomes the model's child: it moves, is wrapped (DDP,
accelerate) and is listed with the model, whose own names stay as they are. Its layers, ``AdaptedLinear``, ask
it for their part.
"""

from __future__ import annotations

import difflib
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from oft.adapters.linear import AdaptedLinear, Part, Slot, adapt, restore
from oft.errors import CheckpointError, ParamsError


class LinearAdapter(nn.Module):
    """One parameter for each of a model's target layers, and what it does to them.

    Layers are known by their names in the model. Subclasses say which slot of ``AdaptedLinear`` they fill,
    and with what.
    """

    child_name: ClassVar[str]
    slot: ClassVar[Slot]

    def __init__(self, model: nn.Module, initial: Mapping[str, Tensor]) -> None:
        """Take the slot in the layers named in ``initial`` and become ``model``'s child.

        Raises:
            ParamsError: the model has such an adapter already.
        """
        super().__init__()
        refuse_second(model, self.child_name)
        self.values = nn.ParameterDict()
        # Hidden in a list and a dictionary: as submodules they would make the model its own descendant.
        self._model = [model]
        self._linears: dict[str, AdaptedLinear] = {}
        self._enabled = True
        for name, value in initial.items():
            self.values[_key(name)] = nn.Parameter(value)
            linear = model.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            self._linears[name] = adapt(linear)
            setattr(linear, self.slot, Part(partial(self._value_if_enabled, name)))
        model.add_module(self.child_name, self)
        _LIVE_ADAPTERS.add(self)

    def layer_value(self, name: str) -> Tensor:
        """Return what the layer ``name`` applies, as part of the autograd graph."""
        return self.values[_key(name)]

    def named_values(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield (layer name, parameter) in the model's order."""
        for name in self._linears:
            yield name, self.values[_key(name)]

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
        if self.merged:
            self.merge()

    @property
    def merged(self) -> bool:
        """Whether the layers' weights contain the adapter."""
        return any(self._part(linear).merged for linear in self._linears.values())

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
        self.merge()
        try:
            yield
        finally:
            self._set_merged(merged)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Without this adapter inside the block, merged or not; as before after it."""
        merged, enabled = self.merged, self._enabled
        self._set_merged(False)
        self._enabled = False
        try:
            yield
        finally:
            self._enabled = enabled
            self._set_merged(merged)

    def remove(self, keep_merged: bool = False) -> None:
        """Take the adapter off the model; with ``keep_merged`` a merged one stays in the weights for good."""
        for linear in self._linears.values():
            linear.take_out(self.slot, keep_merged)
            restore(linear)
        delattr(self._model[0], self.child_name)
        _LIVE_ADAPTERS.discard(self)

    def forward(self, x: Any) -> Any:
        """Return ``x``: a model that runs its children in turn (``nn.Sequential``) passes through."""
        return x

    def extra_repr(self) -> str:
        return f"{len(self._linears)} layers, {self.num_parameters:,} parameters, merged={self.merged}"

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

    def _part(self, linear: AdaptedLinear) -> Part:
        part = getattr(linear, self.slot)
        assert isinstance(part, Part)
        return part

    def _set_merged(self, merged: bool) -> None:
        if merged or self.merged:
            for linear in self._linears.values():
                self._part(linear).merged = merged
                linear.update_merged_weight()


def find_targets(model: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Linear]:
    """Return the linear layers whose name is a pattern or ends with one after a dot, in the model's order.

    This is PEFT's rule for a list of ``target_modules``.

    Raises:
        ParamsError: a pattern matches nothing, or matches a module that is not a plain linear layer.
    """
    targets: dict[str, nn.Linear] = {}
    unmatched = dict.fromkeys(patterns)
    for name, module in model.named_modules():
        matches = [pattern for pattern in patterns if name == pattern or name.endswith(f".{pattern}")]
        if not matches:
            continue
        if type(module) not in (nn.Linear, AdaptedLinear) or "forward" in vars(module):
            raise ParamsError(
                f"target_modules: only plain torch.nn.Linear layers can be adapted, and {matches[0]!r} "
                f"matches {name!r}, a {type(module).__name__} (or one whose forward was replaced); "
                "narrow the pattern or take off what wraps the layer"
            )
        targets[name] = module
        for pattern in matches:
            unmatched.pop(pattern, None)
    if unmatched:
        linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
        near = difflib.get_close_matches(next(iter(unmatched)), linears, n=3, cutoff=0.0)
        raise ParamsError(
            f"target_modules: every pattern must end the name of a linear layer, and "
            f"{', '.join(map(repr, unmatched))} ends none of {type(model).__name__}'s; "
            f"linear layers near it: {', '.join(near) or 'none'}"
        )
    return targets


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


_LIVE_ADAPTERS: weakref.WeakSet[LinearAdapter] = weakref.WeakSet()


def _after_any_optimizer_step(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
    stepped = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for adapter in list(_LIVE_ADAPTERS):
        if not stepped.isdisjoint(map(id, adapter.adapter_parameters())):
            adapter.after_optimizer_step()


register_optimizer_step_post_hook(_after_any_optimizer_step)


def _key(name: str) -> str:
    return name.replace(".", "/")  # names of parameters cannot hold dots


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3) if names else "none"
