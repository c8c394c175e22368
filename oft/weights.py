"""Weights held against their network: names, shapes, types, finite numbers. Every loader asks here.

PyTorch, diffusers and transformers each let some faults pass: what is missing is made up at random, what is
too much is left out, whole numbers are cast, and no value is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from oft.errors import CheckpointError

FLOATING_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MAX_SHOWN = 3


def check_weights(
    what: str, expected: Mapping[str, Tensor], given: Mapping[str, Tensor], remedy: str
) -> None:
    """Refuse weights that are not those of a network; ``what`` names them in the message.

    Args:
        expected: the network's, by name; they may be on the meta device.
        given: those to load; what is on the meta device has no values to look at.
        remedy: what the message ends with.

    Raises:
        CheckpointError: it names what is missing, too much, of another shape or type, or no finite number.
    """
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    shared = [name for name in expected if name in given]
    fitting = [name for name in shared if given[name].shape == expected[name].shape]
    misshapen = [
        f"{name} is {list(given[name].shape)}, not {list(expected[name].shape)}"
        for name in shared
        if given[name].shape != expected[name].shape
    ]
    floating = {name: given[name] for name in fitting if expected[name].is_floating_point()}
    mistyped = [
        *mistyped_names(floating),
        *(name for name in fitting if name not in floating and given[name].is_floating_point()),
    ]
    refuse(
        f"{what} must have the {len(expected)} weights of the model",
        remedy,
        missing=missing,
        unexpected=unexpected,
        misshapen=misshapen,
        mistyped=mistyped,
        not_finite=not_finite_names(floating),
    )


def meta_weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return floating-point weights of these shapes without values, for `check_weights`."""
    return {name: torch.empty(tuple(shape), device="meta") for name, shape in shapes.items()}


def check_numbers(what: str, tensors: Mapping[str, Tensor], remedy: str = "copy or train it again") -> None:
    """Refuse values that are no finite real numbers; ``what`` names their file in the message.

    Raises:
        CheckpointError: there is one, or a type is not a common floating-point one.
    """
    refuse(
        f"{what} must hold finite numbers",
        remedy,
        mistyped=mistyped_names(tensors),
        not_finite=not_finite_names(tensors),
    )


def mistyped_names(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names, with their types, of tensors of no common floating-point type."""
    return [
        f"{name} ({str(value.dtype).removeprefix('torch.')})"
        for name, value in tensors.items()
        if value.dtype not in FLOATING_TYPES
    ]


def not_finite_names(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of floating-point tensors that hold an infinity or no number at all."""
    return [
        name
        for name, value in tensors.items()
        if value.dtype in FLOATING_TYPES and not value.is_meta and not bool(value.isfinite().all())
    ]


def refuse(
    rule: str,
    remedy: str,
    *,
    missing: Sequence[str] = (),
    unexpected: Sequence[str] = (),
    misshapen: Sequence[str] = (),
    mistyped: Sequence[str] = (),
    not_finite: Sequence[str] = (),
) -> None:
    """Raise an error that counts each kind of fault and names the first of them; return where there is none.

    Raises:
        CheckpointError: there is a fault.
    """
    kinds = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": misshapen,
        "of no type float16, bfloat16, float32 or float64": mistyped,
        "not finite (NaN or Inf)": not_finite,
    }
    faults = [f"{len(names)} {kind}: {first_names(names)}" for kind, names in kinds.items() if names]
    if faults:
        raise CheckpointError(f"{rule}, and has {'; '.join(faults)}; {remedy}")


def first_names(names: Iterable[str]) -> str:
    """Return the first few names, and that there are more."""
    listed = list(names)
    return ", ".join(listed[:MAX_SHOWN]) + (", ..." if len(listed) > MAX_SHOWN else "")
