"""Other programs' checkpoints, read without running anything in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from oft.adapters.tensors import read_tensors
from oft.errors import CheckpointError

# What PEFT and the reference implementation call the file in a folder of theirs; the safe format first.
FILE_NAMES = (
    "adapter_model.safetensors",
    "adapter_model.bin",
    "pytorch_oft_weights.safetensors",
    "pytorch_oft_weights.bin",
    "pytorch_lora_weights.safetensors",
    "pytorch_lora_weights.bin",
)


def find_checkpoint(source: Path) -> Path:
    """Return the file of weights: ``source`` itself, or the one in the folder ``source``.

    Raises:
        CheckpointError: there is no such file.
    """
    if source.is_file():
        return source
    for name in FILE_NAMES:
        if (source / name).is_file():
            return source / name
    if source.is_dir():
        raise CheckpointError(
            f"{source}: a folder must hold one of {', '.join(FILE_NAMES)}, and holds none; "
            "name the file of weights itself"
        )
    raise CheckpointError(f"{source}: must be a file or folder of weights, and does not exist")


def read_checkpoint(source: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, or of one ``torch.save`` wrote (``.ckpt .pt .bin``).

    Of a training checkpoint (PyTorch Lightning's) only the state dict is taken. A pickle that names anything
    but tensors, plain containers and Lightning's own classes is refused, as it could run code; those classes
    are not imported either (and only known in files of PyTorch 1.6 and later, which are zip archives).

    Raises:
        CheckpointError: the file is missing, damaged, refused or without tensors.
    """
    if source.suffix == ".safetensors":
        return read_tensors(source)[0]
    if not source.is_file():
        raise CheckpointError(f"{source}: must be a file of weights, and does not exist")
    try:
        with safe_globals(_lightning_stubs(source)):
            content = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as fault:
        raise CheckpointError(
            f"{source}: a pickle may hold tensors and plain containers alone, as others can run code, "
            f"and this one is damaged or holds more{_named_globals(source)}; "
            "save its tensors as safetensors where you trust it, or fetch it again (git lfs pull)"
        ) from fault
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError) as fault:
        raise CheckpointError(
            f"{source}: must be a whole file of torch.save, got {_first_line(fault)}; copy it again"
        ) from fault
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = (
        {name: value for name, value in content.items() if isinstance(name, str) and torch.is_tensor(value)}
        if isinstance(content, dict)
        else {}
    )
    if not tensors:
        raise CheckpointError(
            f"{source}: must hold a dictionary of tensors, got {type(content).__name__}; give a state dict"
        )
    return tensors


class _Stub:
    """Stands in for a class of Lightning's that a checkpoint names beside its weights; does nothing."""

    def __init__(self, *arguments: object, **named: object) -> None: ...


def _lightning_stubs(source: Path) -> list[Any]:
    # Lightning's checkpoints name callbacks by class. The restricted unpickler takes a stub for each.
    try:
        named = get_unsafe_globals_in_checkpoint(source)
    except (ValueError, RuntimeError, EOFError, pickle.UnpicklingError):  # an old or damaged file
        return []
    return [(_Stub, name) for name in named if name.split(".")[0] in ("lightning", "pytorch_lightning")]


def _named_globals(source: Path) -> str:
    try:
        named = get_unsafe_globals_in_checkpoint(source)
    except Exception:  # whatever a damaged pickle leads the reader to
        return ""
    return f" ({', '.join(sorted(named)[:3])})" if named else ""


def _first_line(fault: Exception) -> str:
    text = str(fault).strip()
    return text.splitlines()[0] if text else type(fault).__name__
