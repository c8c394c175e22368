"""Tensors on disk as safetensors: whole files, equal bytes for equal contents, nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from oft import __version__
from oft.errors import CheckpointError
from oft.storage import atomic_file


def write_tensors(target: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically; equal contents give equal bytes.

    (The library alone writes its metadata in an order that changes from process to process.)
    """
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    header_bytes = int.from_bytes(content[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(content[8 : 8 + header_bytes])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_file(target) as partial, partial.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little"))
        stream.write(text)
        stream.write(memoryview(content)[8 + header_bytes :])


def read_tensors(source: Path, base_hash: str | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a safetensors file's tensors, on the CPU, and its metadata.

    Raises:
        CheckpointError: the file is missing or damaged, or its metadata names another base than
        ``base_hash``.
    """
    if not source.is_file():
        raise CheckpointError(
            f"{source}: an adapter needs this file, and it is missing; train or copy the adapter again"
        )
    try:
        with safe_open(source, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as fault:
        raise CheckpointError(
            f"{source}: must be a whole safetensors file, got {fault}; copy it again"
        ) from fault
    recorded = metadata.get("base_hash")
    if base_hash is not None and recorded is not None and recorded != base_hash:
        name = f" ({metadata['base_name']})" if metadata.get("base_name") else ""
        raise CheckpointError(
            f"{source}: must belong to the base in use, of hash {base_hash}, and was trained on {recorded}"
            f"{name}; use that base, or train the adapter on this one"
        )
    return tensors, metadata


def file_metadata(base_hash: str, base_name: str | None) -> dict[str, str]:
    """Return what the metadata of every file says: the base it belongs to and what wrote it."""
    named = {"base_name": base_name} if base_name else {}
    return {"format": "pt", "base_hash": base_hash, "project": f"oft-pipeline {__version__}", **named}
