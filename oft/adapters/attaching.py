"""What adapters of every kind do to a model: freeze it, come once, hold values that fit its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from oft.errors import CheckpointError, ParamsError


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


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3) if names else "none"
