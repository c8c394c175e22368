"""Import other programs' adapters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from oft.adapters.files import HINT_ENCODER_FILE, MAGNITUDE_FILE
from oft.adapters.tensors import file_metadata
from oft.errors import CheckpointError, ParamsError
from oft.exchange.bases import BaseIdentity, identify_base, load_unet
from oft.exchange.delta import write_delta
from oft.exchange.exports import refuse_target
from oft.exchange.files import find_checkpoint
from oft.exchange.foreign import ForeignAdapter, ForeignWeights, inject_foreign
from oft.exchange.formats.format import Precision
from oft.exchange.merged import write_merged
from oft.exchange.peft import TruncatedAdapter
from oft.exchange.sources import SOURCES, ReadOptions
from oft.exchange.weights import truncated_weights
from oft.models.checkpoints import read_checkpoint
from oft.storage import atomic_folder

if TYPE_CHECKING:
    from torch import Tensor, nn

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def import_adapter(
    source: Path,
    base: Path,
    target: Path,
    *,
    options: ReadOptions | None = None,
    precision: Precision | None = None,
) -> list[str]:
    """Convert another program's OFT adapter; return what the user should know.

    Args:
        source: its file or folder.
        base: folder of the base it was trained on.
        target: folder to make. Where the file becomes weights and no adapter, a name that ends with
            ``.safetensors`` makes a file of ΔW, any other a merged checkpoint.
        options: what the file does not say; None for the defaults.
        precision: type of weights; None for fp16. Adapters are kept in float32.

    Raises:
        CheckpointError: the file is damaged, refused, of another format or of another base.
        ParamsError: ``target`` exists, or the options do not fit the file.
    """
    refuse_target(target, base)
    file = find_checkpoint(source)
    identity = identify_base(base)
    unet = load_unet(base)
    foreign = read_foreign(file, unet, options)
    if isinstance(foreign, TruncatedAdapter):
        weights = truncated_weights(unet, foreign)
        foreign = ForeignWeights(weights, f"PEFT's {source.name}", foreign.notes)
    if isinstance(foreign, ForeignWeights):
        _write_weights(target, base, identity, unet, foreign, precision or "fp16")
        return list(foreign.notes)
    if target.suffix == ".safetensors":
        raise ParamsError(f"{target}: {file} becomes an adapter's folder; name it without .safetensors")
    if precision is not None:
        raise ParamsError(
            f"--dtype ({precision}) is for merged weights; adapters are kept in float32; leave it out"
        )
    adapter = inject_foreign(unet, foreign)
    with atomic_folder(target) as partial:
        adapter.save(
            partial,
            base_hash=identity.hash,
            base_name=identity.name,
            metadata={"imported_from": source.name},
        )
    return list(foreign.notes)


def read_foreign(
    source: Path, unet: nn.Module, options: ReadOptions | None = None
) -> ForeignAdapter | ForeignWeights | TruncatedAdapter:
    """Read an adapter of whichever known format ``source`` is in.

    Raises:
        CheckpointError: the file is damaged, refused or of no known format.
        ParamsError: the options do not fit the file.
    """
    file = find_checkpoint(source)
    for own in (MAGNITUDE_FILE, HINT_ENCODER_FILE):
        if (file.parent / own).exists():
            raise ParamsError(
                f"{file.parent}: is an adapter of this project already ({own} is beside it); use it as it is"
            )
    options = options or ReadOptions()
    tensors = read_checkpoint(file)
    for known in SOURCES:
        if not known.recognises(tensors, file):
            continue
        for name in options.given():
            if name not in known.takes:
                others = " and ".join(each.program for each in SOURCES if name in each.takes)
                raise ParamsError(
                    f"--{name.replace('_', '-')} ({getattr(options, name)}) is for files of {others}, and "
                    f"{file} is of {known.program}; leave it out"
                )
        return known.read(file, tensors, unet, options)
    raise CheckpointError(
        f"{file}: must be an OFT adapter of {'; '.join(f'{s.program} ({s.known_by})' for s in SOURCES)}; got "
        f"{', '.join(sorted(tensors)[:3])}; other formats cannot be converted"
    )


def _write_weights(
    target: Path,
    base: Path,
    identity: BaseIdentity,
    unet: nn.Module,
    foreign: ForeignWeights,
    precision: Precision,
) -> None:
    """Write weights as a file of ΔW or a merged checkpoint, whichever the target's name asks for."""
    origin, dtype = f"{identity.name} merged with {foreign.what}", DTYPES[precision]
    weights: Mapping[str, Tensor] = foreign.weights
    if target.suffix == ".safetensors":
        metadata = {**file_metadata(identity.hash, identity.name), "origin": origin}
        write_delta(target, unet, weights, metadata, dtype)
    else:
        write_merged(target, base, weights, origin, dtype)
