"""Export this project's adapters to what other programs load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from oft.adapters.registry import load_adapter
from oft.adapters.tensors import file_metadata
from oft.errors import ParamsError
from oft.exchange.bases import BaseIdentity, identify_base, load_unet
from oft.exchange.delta import write_delta
from oft.exchange.merged import write_merged
from oft.storage import atomic_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

MAX_STRENGTH = 10  # as in params.yaml
ExportFormat = Literal["peft", "delta", "diffusers"]
Precision = Literal["fp32", "fp16"]
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16}


def export_adapter(
    adapter: Path,
    base: Path,
    target: Path,
    form: ExportFormat,
    precision: Precision = "fp32",
    strength: float = 1.0,
) -> list[str]:
    """Write the adapter in the folder ``adapter`` for another program, and return what the user should know.

    Args:
        base: folder of the base it was trained on.
        target: what to make, where nothing is yet: for "delta" a file ``.safetensors``, else a folder.
        form: "peft" for ``PeftModel.from_pretrained``, "delta" for a file of ΔW, "diffusers" for a merged
            checkpoint.
        precision: type of the weights written.
        strength: how much of rotations and magnitudes goes in.

    Raises:
        CheckpointError: adapter or base are damaged or do not belong together.
        ParamsError: ``target`` exists, or cannot be what ``form`` asks for.
    """
    refuse_target(target, base, as_file=form == "delta")
    if form == "peft" and precision != "fp32":
        raise ParamsError(
            f"--dtype ({precision}) is for merged weights; PEFT's rotations are kept in float32; leave it out"
        )
    if form == "peft" and strength != 1.0:
        raise ParamsError(
            f"--strength ({strength}) is for merged weights; PEFT's users choose it; leave it out"
        )
    if not -MAX_STRENGTH <= strength <= MAX_STRENGTH:
        raise ParamsError(f"--strength ({strength}) must be from -{MAX_STRENGTH} to {MAX_STRENGTH}")
    identity = identify_base(base)
    unet = load_unet(base)
    loaded = load_adapter(adapter, unet, base_hash=identity.hash)
    if form == "peft":
        with atomic_folder(target) as partial:
            return loaded.save_for_peft(partial, base_hash=identity.hash, base_name=identity.name)
    loaded.strength = strength
    weights, lost = loaded.merged_values(), loaded.lost_by_merging()
    if not weights:
        raise ParamsError(
            f"{adapter}: this kind of adapter ({loaded.method}) changes no weights, so there are none to "
            "merge; use it as it is"
        )
    loaded.remove()
    write_weights(target, base, identity, unet, weights, form, precision, f"the adapter {adapter.name}")
    return lost


def write_weights(
    target: Path,
    base: Path,
    identity: BaseIdentity,
    unet: nn.Module,
    weights: Mapping[str, Tensor],
    form: Literal["delta", "diffusers"],
    precision: Precision,
    what: str,
) -> None:
    """Write adapted weights as a file of ΔW or a merged checkpoint; ``what`` says what they are of."""
    dtype = DTYPES[precision]
    origin = f"{identity.name} merged with {what}"
    if form == "delta":
        write_delta(
            target, unet, weights, {**file_metadata(identity.hash, identity.name), "origin": origin}, dtype
        )
    else:
        write_merged(target, base, weights, origin, dtype)


def refuse_target(target: Path, base: Path, as_file: bool) -> None:
    """Refuse to write where something is, into the base, or a file without the ending its readers expect.

    Raises:
        ParamsError: ``target`` cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise ParamsError(f"{target}: must not exist yet; name another place, or remove it")
    parent = next(folder for folder in target.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise ParamsError(f"{target}: must lie in a folder, and {parent} is a file; name another place")
    if target.resolve().is_relative_to(base.resolve()):
        raise ParamsError(
            f"{target}: must lie outside the base {base}, which stays as it is; name another place"
        )
    if as_file and target.suffix != ".safetensors":
        raise ParamsError(f"{target}: weight differences go into one file; name it with .safetensors")
    if not as_file and target.suffix == ".safetensors":
        raise ParamsError(f"{target}: this makes a folder; name it without .safetensors")
