"""PEFT's OFT tuner with this project's kernel: exact rotations, computed once an optimizer step.

PEFT finds a tuner's class in a table by its name. ``enable`` puts a subclass of its OFT there, so that
``get_peft_model``, ``PeftModel.from_pretrained``, ``add_adapter`` of diffusers and ``save_pretrained`` go on
as they are, with files of the same names and values. What differs:

- the Cayley transform is exact. With ``use_cayley_neumann=False`` that is PEFT's own, (I - Q)(I + Q)⁻¹; with
  PEFT's default, True, it is what its series approximates, (I + Q)(I - Q)⁻¹, so that files keep their
  meaning;
- the rotations of all layers of one block size are computed in one batch, when a parameter has changed, and
  serve every pass until the next change (PEFT: each layer, each pass);
- a linear layer turns its weight or its input, whichever is less work; no dense gradient is formed;
- a convolution turns its weight. PEFT unfolds the input and sums overlapping windows: its merged weights are
  these, its forward pass with a window above 1x1 is another.

    from oft.peft import enable

    enable()
    model = get_peft_model(unet, OFTConfig(target_modules=[...], use_cayley_neumann=False))
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
import torch.nn.functional as F
from peft import PEFT_TYPE_TO_TUNER_MAPPING, PeftType
from peft.tuners.oft import OFTModel
from peft.tuners.oft.layer import Conv2d, Linear, OFTRotationModule
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from oft.adapters.oft.layers import as_autocast, rotated_linear
from oft.adapters.oft.rotation import (
    cayley,
    coft_bound,
    project_skew,
    rotate_input,
    rotate_weight,
    scale_packed,
    skew_from_packed,
    without_autocast,
)


def enable() -> None:
    """Give OFT models that PEFT makes from here on this project's kernel; those there stay as they are."""
    PEFT_TYPE_TO_TUNER_MAPPING[PeftType.OFT] = ExactOFTModel


def disable() -> None:
    """Give OFT models that PEFT makes from here on its own kernel again; those there stay as they are."""
    PEFT_TYPE_TO_TUNER_MAPPING[PeftType.OFT] = OFTModel


@contextmanager
def enabled() -> Iterator[None]:
    """Inside the block, as after ``enable``; afterwards as before."""
    before = PEFT_TYPE_TO_TUNER_MAPPING[PeftType.OFT]
    enable()
    try:
        yield
    finally:
        PEFT_TYPE_TO_TUNER_MAPPING[PeftType.OFT] = before


class RotationGroup:
    """Rotations of one model that are computed together."""

    def __init__(self) -> None:
        self.members: list[ExactRotation] = []

    def refresh(self) -> None:
        """Compute the rotations of all members whose parameters have changed."""
        stale = [member for member in self.members if member.is_stale()]
        batches: dict[tuple[object, ...], list[ExactRotation]] = {}
        for member in stale:
            weight = member.weight
            key = weight.shape[1], weight.dtype, weight.device, weight.requires_grad, member.sign
            batches.setdefault(key, []).append(member)
        for batch in batches.values():
            _compute(batch)


class ExactRotation(OFTRotationModule):
    """PEFT's parameter of a layer, with the rotations made of it.

    An instance of PEFT's becomes one in place. A parameter written through ``.data`` is not noticed.
    """

    group: RotationGroup | None
    _computed: tuple[Tensor, tuple[object, ...]] | None

    def become_exact(self, group: RotationGroup) -> None:
        """Take a place in the group; called on what was PEFT's own module."""
        self.group, self._computed = group, None
        group.members.append(self)
        _LIVE.add(self)

    @property
    def sign(self) -> float:
        """What S is of PEFT's Q: its series approximates the inverse of its exact transform."""
        return -1.0 if self.use_cayley_neumann else 1.0

    def rotations(self) -> Tensor:
        """Return R, ``[r, b, b]`` or ``[1, b, b]``, in the autograd graph of the parameter."""
        if self.is_stale():
            if self.group is not None and self in self.group.members:
                self.group.refresh()
            else:
                _compute([self])
        assert self._computed is not None
        return self._computed[0]

    def is_stale(self) -> bool:
        """Return whether the parameter has changed since the rotations were computed."""
        return self._computed is None or self._computed[1] != self.state()

    def state(self) -> tuple[object, ...]:
        """Return what a change of the parameter changes."""
        return self.weight._version, self.weight.data_ptr(), self.weight.requires_grad, self.sign

    def forward(self, x: Tensor) -> Tensor:
        """Return x R, ``[*, in]``."""
        return rotate_input(x, self.rotations()).to(x.dtype)

    def get_weight(self) -> Tensor:
        """Return R dense, ``[in, in]``, as PEFT's merging asks for it."""
        rotations = self.rotations()
        count = self.in_features // self.block_size
        return torch.block_diag(*rotations.expand(count, -1, -1))

    def __getstate__(self) -> dict[str, Any]:
        # Tensors inside a graph can be neither copied nor pickled; a copy computes its own.
        return {**self.__dict__, "_computed": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        _LIVE.add(self)


class _ExactLayer:
    """What exact layers share: the rotations of each adapter are exact, and leave their group with it."""

    @classmethod
    def made_of(cls, layer: nn.Module) -> Any:
        """Return PEFT's layer as an exact one: all that a module is, is in its dictionary."""
        exact = cls.__new__(cls)
        exact.__dict__.update(vars(layer))
        return exact

    def become_exact(self: Any, group: RotationGroup) -> None:
        """Make the adapters there are exact, their rotations members of the model's group."""
        self.group = group
        self._make_exact()

    def update_layer(self: Any, *args: Any, **kwargs: Any) -> None:
        super().update_layer(*args, **kwargs)  # type: ignore[misc]
        self._make_exact()

    def delete_adapter(self: Any, adapter_name: str) -> None:
        if adapter_name in self.oft_R and self.oft_R[adapter_name] in self.group.members:
            self.group.members.remove(self.oft_R[adapter_name])
        super().delete_adapter(adapter_name)  # type: ignore[misc]

    def _make_exact(self: Any) -> None:
        for rotation in self.oft_R.values():
            if not isinstance(rotation, ExactRotation):
                rotation.__class__ = ExactRotation
                rotation.become_exact(self.group)

    def _active(self: Any) -> list[Tensor]:
        return [self.oft_R[name].rotations() for name in self.active_adapters if name in self.oft_R]

    def _as_base(self: Any) -> bool:
        if self.disable_adapters and self.merged:
            self.unmerge()
        return bool(self.disable_adapters or self.merged)


class ExactLinear(_ExactLayer, Linear):
    """PEFT's linear layer under OFT, turned by whichever of weight and input is less work."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the base layer's output for x R, ``[*, out]`` in the type of ``x``."""
        base: Any = self.base_layer
        dtype = x.dtype
        if self._as_base():
            return base(x, *args, **kwargs).to(dtype)
        with without_autocast(x.device):
            rotations = self._active()
        if len(rotations) == 1 and type(base) is nn.Linear and not args and not kwargs:
            x = as_autocast(x)
            with without_autocast(x.device):
                return rotated_linear(x, base.weight, base.bias, rotations[0]).to(dtype)
        for each in rotations:  # quantised or adapted by another tuner: its weight is its own affair
            x = rotate_input(x, each)
        return base(x, *args, **kwargs).to(dtype)


class ExactConv2d(_ExactLayer, Conv2d):
    """PEFT's convolution under OFT, its weight turned."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the convolution with the turned weight, in the type of ``x``."""
        base: Any = self.base_layer
        dtype = x.dtype
        if self._as_base():
            return base(x, *args, **kwargs).to(dtype)
        with without_autocast(x.device):
            weight = base.weight.flatten(1)
            for each in reversed(self._active()):
                weight = rotate_weight(weight, each)
            weight = weight.view_as(base.weight)
        bias = None if base.bias is None else base.bias.to(x.dtype)
        windows = base.stride, base.padding, base.dilation, base.groups
        return F.conv2d(x, weight.to(x.dtype), bias, *windows).to(dtype)


EXACT_LAYERS: dict[type[nn.Module], type[_ExactLayer]] = {Linear: ExactLinear, Conv2d: ExactConv2d}


class ExactOFTModel(OFTModel):
    """PEFT's model of OFT whose layers have this project's kernel."""

    @staticmethod
    def _create_new_module(*args: Any, **kwargs: Any) -> Any:
        made = OFTModel._create_new_module(*args, **kwargs)
        exact = EXACT_LAYERS.get(type(made))
        return made if exact is None else exact.made_of(made)

    def _create_and_replace(self, *args: Any, **kwargs: Any) -> None:
        super()._create_and_replace(*args, **kwargs)
        named = inspect.signature(super()._create_and_replace).bind(*args, **kwargs).arguments
        layer = getattr(named["parent"], named["target_name"])
        if isinstance(layer, _ExactLayer):
            layer.become_exact(self.__dict__.setdefault("_rotation_group", RotationGroup()))


def _compute(batch: list[ExactRotation]) -> None:
    """Compute the rotations of modules of one block size, type, device and sign in one batch."""
    for member in batch:
        if member.coft:  # as PEFT, which projects whatever it is about to use
            bound = coft_bound(member.eps, member.block_size, len(member.weight), False, "peft")
            with torch.no_grad():
                member.weight.copy_(project_skew(member.weight, bound))
    # The graph is made whatever the caller's mode: see ``OFTAdapter.refresh``.
    with torch.inference_mode(False), torch.enable_grad():
        together = torch.cat([member.weight for member in batch])
        rotations = cayley(skew_from_packed(scale_packed(together, batch[0].sign)))
        parts = rotations.split([len(member.weight) for member in batch])
    for member, part in zip(batch, parts, strict=True):
        member._computed = part, member.state()


_LIVE: WeakSet[ExactRotation] = WeakSet()


def _after_any_optimizer_step(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
    """Forget the rotations of what was stepped: fused optimizers write behind the version counters."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for rotation in list(_LIVE):
        if id(rotation.weight) in held:
            rotation._computed = None


register_optimizer_step_post_hook(_after_any_optimizer_step)
