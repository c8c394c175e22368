"""Other programs' checkpoints, read without running anything in them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from oft.adapters.tensors import read_tensors
from oft.errors import CheckpointError, first_line
from oft.weights import first_names

COMPILED = "_orig_mod."
# The first bytes of what a failed download leaves in place of weights.
NO_WEIGHTS = {
    b"<": "a web page (the download was refused, or needs you to log in)",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself (run git lfs pull)",
}


def read_checkpoint(source: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, or of one ``torch.save`` wrote, whatever its name.

    ``_orig_mod.``, which torch.compile puts into names, is left out of them. Of a training checkpoint
    (PyTorch Lightning's) only the state dict is taken. A pickle that names anything but tensors, plain
    containers and Lightning's own classes is refused, as it could run code; those classes are not imported
    either (and only known in files of PyTorch 1.6 and later, which are zip archives).

    Raises:
        CheckpointError: the file is missing, damaged, refused or without tensors.
    """
    if not source.is_file():
        raise CheckpointError(f"{source}: must be a file of weights, and does not exist")
    _refuse_text(source)
    by_name = source.suffix.lower() == ".safetensors"
    by_content = is_safetensors(source)
    if by_name and not by_content and _is_pickle(source):  # torch.load goes by the name
        raise CheckpointError(
            f"{source}: must be the safetensors of its name, and is a file of torch.save; call it .ckpt"
        )
    tensors = read_tensors(source)[0] if by_name or by_content else _state_dict(source, _unpickle(source))
    if not tensors:
        raise CheckpointError(f"{source}: must hold tensors, and has none; save or fetch it again")
    return _plain_names(source, tensors)


def _unpickle(source: Path) -> object:
    """Return what a file of ``torch.save`` holds, read by the unpickler that runs nothing in it."""
    try:
        with safe_globals(_lightning_stubs(source)):
            # Mapped, where the format can be: a checkpoint of gigabytes is in memory once, or not at all.
            mapped = zipfile.is_zipfile(source)
            return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as fault:
        raise CheckpointError(
            f"{source}: a pickle may hold tensors and plain containers alone, as others can run code, "
            f"and this one is damaged or holds more{_named_globals(source)}; "
            "save its tensors as safetensors where you trust it, or fetch it again (git lfs pull)"
        ) from fault
    except Exception as fault:  # whatever a damaged file leads the reader to
        raise CheckpointError(
            f"{source}: must be a whole file of torch.save, got {first_line(fault)}; copy it again"
        ) from fault


def _state_dict(source: Path, content: object) -> dict[str, Tensor]:
    """Return the tensors among a checkpoint's entries, or in its ``state_dict``.

    Raises:
        CheckpointError: there is none, or one has no plain array of values.
    """
    entries = content
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        entries = content["state_dict"]
    tensors = (
        {name: value for name, value in entries.items() if isinstance(name, str) and torch.is_tensor(value)}
        if isinstance(entries, dict)
        else {}
    )
    if not tensors:
        raise CheckpointError(
            f"{source}: must hold a dictionary of tensors, or one called state_dict, and holds "
            f"{_kinds(content)}; save the state dict by itself"
        )
    if odd := [name for name, value in tensors.items() if value.is_meta or value.layout != torch.strided]:
        raise CheckpointError(
            f"{source}: must hold every value of its tensors, and these are sparse or on the meta device: "
            f"{first_names(odd)}; save them as dense tensors on the CPU"
        )
    return tensors


def _kinds(content: object) -> str:
    """Return what a checkpoint holds: its type, of a dictionary the first entries with theirs."""
    kind = type(content).__name__
    if not isinstance(content, dict):
        return kind
    return f"{kind} ({first_names(f'{name}: {type(value).__name__}' for name, value in content.items())})"


def is_safetensors(source: Path) -> bool:
    """Return whether a file begins as safetensors do: the length of a header of JSON, and that header."""
    with source.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        return stream.read(1) == b"{" and length <= source.stat().st_size - 8


def _is_pickle(source: Path) -> bool:
    with source.open("rb") as stream:
        start = stream.read(2)
    return start in (b"PK", *(bytes([0x80, protocol]) for protocol in range(2, 6)))


def _plain_names(source: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = {name.replace(COMPILED, ""): value for name, value in tensors.items()}
    if len(named) < len(tensors):
        raise CheckpointError(
            f"{source}: holds weights twice, with and without {COMPILED} in their names; save one of the two"
        )
    return named


def _refuse_text(source: Path) -> None:
    with source.open("rb") as stream:
        start = stream.read(64)
    if b"\0" in start:  # no text: the length that safetensors begin with may have the bytes of one
        return
    for beginning, meaning in NO_WEIGHTS.items():
        if start.lstrip().startswith(beginning):
            raise CheckpointError(f"{source}: must be a file of weights, and is {meaning}; fetch it again")


class _Stub:
    """Stands in for a class of Lightning's that a checkpoint names beside its weights; does nothing."""

    def __init__(self, *arguments: object, **named: object) -> None: ...


def _lightning_stubs(source: Path) -> list[Any]:
    # Lightning's checkpoints name callbacks by class. The restricted unpickler takes a stub for each.
    try:
        named = get_unsafe_globals_in_checkpoint(source)
    except Exception:  # an old file, or whatever a damaged one leads the reader to
        return []
    return [(_Stub, name) for name in named if name.split(".")[0] in ("lightning", "pytorch_lightning")]


def _named_globals(source: Path) -> str:
    try:
        named = get_unsafe_globals_in_checkpoint(source)
    except Exception:  # whatever a damaged pickle leads the reader to
        return ""
    return f" ({', '.join(sorted(named)[:3])})" if named else ""
