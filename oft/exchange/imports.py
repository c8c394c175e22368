"""Import other programs' adapters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from oft.adapters.files import HINT_ENCODER_FILE, MAGNITUDE_FILE
from oft.errors import CheckpointError, ParamsError
from oft.exchange.bases import identify_base, load_unet
from oft.exchange.exports import Precision, refuse_target, write_weights
from oft.exchange.files import find_checkpoint
from oft.exchange.foreign import ForeignAdapter, inject_foreign
from oft.exchange.peft import Cayley, TruncatedAdapter, is_peft, read_peft
from oft.exchange.reference import Sign, is_reference, read_reference
from oft.exchange.weights import truncated_weights
from oft.models.checkpoints import read_checkpoint
from oft.storage import atomic_folder

if TYPE_CHECKING:
    from torch import Tensor, nn

PIPELINE_PREFIX = "unet."


def import_adapter(
    source: Path,
    base: Path,
    target: Path,
    *,
    cayley: Cayley = "exact",
    sign: Sign = "current",
    coft_eps: float | None = None,
    precision: Precision = "fp32",
) -> list[str]:
    """Convert an adapter of PEFT or of the reference implementation; return what the user should know.

    Args:
        source: its file or folder.
        base: folder of the base it was trained on.
        target: folder to make. With ``cayley="neumann"`` the weights themselves are written: a file of ΔW
            where the name ends with ``.safetensors``, a merged checkpoint otherwise.
        cayley, sign, coft_eps: see ``read_peft`` and ``read_reference``.
        precision: type of merged weights.

    Raises:
        CheckpointError: the file is damaged, refused, of another format or of another base.
        ParamsError: ``target`` exists, or the options do not fit the file.
    """
    weights_alone = cayley == "neumann"
    as_delta = weights_alone and target.suffix == ".safetensors"
    if precision != "fp32" and not weights_alone:
        raise ParamsError(
            f"--dtype ({precision}) is for merged weights (--cayley neumann); adapters are kept in float32; "
            "leave it out"
        )
    refuse_target(target, base, as_file=as_delta)
    file = find_checkpoint(source)
    identity = identify_base(base)
    unet = load_unet(base)
    foreign = read_foreign(file, unet, cayley=cayley, sign=sign, coft_eps=coft_eps)
    if isinstance(foreign, TruncatedAdapter):
        weights = truncated_weights(unet, foreign)
        what = f"PEFT's {source.name}"
        write_weights(
            target, base, identity, unet, weights, "delta" if as_delta else "diffusers", precision, what
        )
    else:
        adapter = inject_foreign(unet, foreign)
        with atomic_folder(target) as partial:
            adapter.save(
                partial,
                base_hash=identity.hash,
                base_name=identity.name,
                metadata={"imported_from": source.name},
            )
    return list(foreign.notes)


def without_prefix(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return tensors by their names within the UNet, where all are named within a pipeline (``unet.``)."""
    if not all(name.startswith(PIPELINE_PREFIX) for name in tensors):
        return tensors
    return {name.removeprefix(PIPELINE_PREFIX): value for name, value in tensors.items()}


def read_foreign(
    source: Path,
    unet: nn.Module,
    *,
    cayley: Cayley = "exact",
    sign: Sign = "current",
    coft_eps: float | None = None,
) -> ForeignAdapter | TruncatedAdapter:
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
    named = read_checkpoint(file)
    tensors = without_prefix(named)
    if is_peft(tensors):
        if sign != "current" or coft_eps is not None:
            raise ParamsError(
                f"--reference and --coft-eps are for files of the reference implementation, and {file} is "
                "PEFT's, which says these things itself; leave them out"
            )
        return read_peft(file, tensors, unet, cayley)
    if is_reference(tensors):
        if cayley != "exact":
            raise ParamsError(
                f"--cayley {cayley} is for PEFT's truncated transform, and {file} is the reference "
                "implementation's, which is exact; leave it out"
            )
        return read_reference(file, tensors, unet, sign, coft_eps)
    if any("oft_blocks" in name or "oft_diag" in name for name in tensors):
        raise CheckpointError(
            f"{file}: OFT of LyCORIS and kohya turns the outputs of layers, which no rotation of inputs "
            "equals; merge it into its base with the program that made it"
        )
    raise CheckpointError(
        f"{file}: must be an OFT adapter of PEFT (names ending with .oft_R.weight) or of the reference "
        f"implementation (.R beside .OFT.weight, or processor.to_q_oft.R), got "
        f"{', '.join(sorted(named)[:3])}; other formats cannot be converted"
    )
