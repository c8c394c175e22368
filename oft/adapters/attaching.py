"""What adapters of every kind do to a model: freeze it, come once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oft.errors import ParamsError

BASE_REMEDY = "use the base and the settings it was trained with"
"""What to do where an adapter's values do not fit the model's layers."""


def freeze(model: nn.Module, keep: Sequence[str] = ()) -> None:
    """Stop the gradient of every parameter except those of the direct children named in ``keep``."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.split(".", 1)[0] in keep and parameter.requires_grad)


def refuse_without_condition(method: str, with_condition: bool) -> None:
    """Refuse a task that gives a kind nothing to learn from.

    Raises:
        ParamsError: there are no conditioning images.
    """
    if not with_condition:
        raise ParamsError(
            f"an adapter of method {method} learns from conditioning images alone, and this task has none; "
            "choose another adapter for it"
        )


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
