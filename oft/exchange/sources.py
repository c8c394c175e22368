"""Programs whose OFT files are read: how a file is known, who reads it, which options it takes.

The order is that in which a file is tried. Readers are imported when a file is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn

    from oft.exchange.foreign import ForeignAdapter, ForeignWeights
    from oft.exchange.peft import TruncatedAdapter

    Foreign: TypeAlias = ForeignAdapter | ForeignWeights | TruncatedAdapter

Cayley = Literal["exact", "neumann"]
Sign = Literal["current", "early"]
ScaledBy = Literal["block", "entries"]


@dataclass(frozen=True)
class ReadOptions:
    """What no file says and the user may; each source takes some of them.

    Attributes:
        cayley: what to make of a truncated transform: "exact", the rotation that it approximates, or
            "neumann", the product itself, as weights.
        reference: "early" for checkpoints of the reference implementation's first commits.
        coft_eps: ``--eps`` of a training with ``--coft`` there; None for none.
        scaled_by: the factor of OneTrainer's scaled OFT, see ``oft.exchange.oft_v2``.
        allow_error: accept more error than ``MAX_ERROR``, and that a text encoder is left out.
    """

    cayley: Cayley = "exact"
    reference: Sign = "current"
    coft_eps: float | None = None
    scaled_by: ScaledBy = "block"
    allow_error: bool = False

    def given(self) -> list[str]:
        """Return the names of the options that are not at their defaults."""
        return [each.name for each in fields(self) if getattr(self, each.name) != each.default]


@dataclass(frozen=True)
class Source:
    """A program's files.

    Attributes:
        program: who writes them.
        known_by: the names of tensors by which they are known.
        becomes: what a file becomes, and how exactly.
        takes: the names of the options it takes.
        recognises: whether a state dict in a file is of it; names are as the file has them.
        read: reads it, names as the file has them, for a base's UNet.
    """

    program: str
    known_by: str
    becomes: str
    takes: tuple[str, ...]
    recognises: Callable[[Mapping[str, Tensor], Path], bool]
    read: Callable[[Path, Mapping[str, Tensor], nn.Module, ReadOptions], Foreign]


PIPELINE_PREFIX = "unet."


def without_prefix(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return tensors by their names within the UNet, where all are named within a pipeline (``unet.``)."""
    if not all(name.startswith(PIPELINE_PREFIX) for name in tensors):
        return tensors
    return {name.removeprefix(PIPELINE_PREFIX): value for name, value in tensors.items()}


def _is_oft_v2(tensors: Mapping[str, Tensor], file: Path) -> bool:
    from oft.adapters.files import CONFIG_FILE
    from oft.exchange.oft_v2 import is_oft_v2

    # diffusers writes PEFT's adapters under names with unet. before them, and their configuration beside.
    dotted = all(name.startswith(PIPELINE_PREFIX) for name in tensors)
    return is_oft_v2(tensors) and not (dotted and (file.parent / CONFIG_FILE).is_file())


def _read_oft_v2(
    file: Path, tensors: Mapping[str, Tensor], unet: nn.Module, options: ReadOptions
) -> ForeignAdapter | ForeignWeights:
    from oft.exchange.oft_v2 import read_oft_v2

    return read_oft_v2(
        file,
        tensors,
        unet,
        product=options.cayley == "neumann",
        allow_error=options.allow_error,
        scaled_by=options.scaled_by,
    )


def _is_peft(tensors: Mapping[str, Tensor], file: Path) -> bool:
    from oft.exchange.peft import is_peft

    return is_peft(tensors)


def _read_peft(file: Path, tensors: Mapping[str, Tensor], unet: nn.Module, options: ReadOptions) -> Foreign:
    from oft.exchange.peft import read_peft

    return read_peft(file, without_prefix(tensors), unet, options.cayley)


def _is_reference(tensors: Mapping[str, Tensor], file: Path) -> bool:
    from oft.exchange.reference import is_reference

    return is_reference(without_prefix(tensors))


def _read_reference(
    file: Path, tensors: Mapping[str, Tensor], unet: nn.Module, options: ReadOptions
) -> ForeignAdapter:
    from oft.exchange.reference import read_reference

    return read_reference(file, without_prefix(tensors), unet, options.reference, options.coft_eps)


def _is_output_side(tensors: Mapping[str, Tensor], file: Path) -> bool:
    from oft.exchange.output_side import is_output_side

    return is_output_side(tensors)


def _read_output_side(
    file: Path, tensors: Mapping[str, Tensor], unet: nn.Module, options: ReadOptions
) -> ForeignWeights:
    from oft.exchange.output_side import read_output_side

    return read_output_side(file, tensors, unet, allow_error=options.allow_error)


SOURCES = (
    Source(
        program="kohya's sd-scripts (networks.oft_v2), OneTrainer's OFT (v2)",
        known_by="`lora_unet_<layer>.oft_R.weight`, `unet.<layer>.oft_R.weight`",
        becomes="the exact rotations nearest to its series, the error stated and refused above 1e-3 of the "
        "effect; with `--cayley neumann` its weights, exactly",
        takes=("cayley", "scaled_by", "allow_error"),
        recognises=_is_oft_v2,
        read=_read_oft_v2,
    ),
    Source(
        program="PEFT 0.14 and later",
        known_by="`<layer>.oft_R.weight`, `<layer>.oft_r`, with `adapter_config.json`",
        becomes="exact; of its truncated transform the rotation that it approximates, the error stated, or "
        "with `--cayley neumann` its weights, exactly",
        takes=("cayley",),
        recognises=_is_peft,
        read=_read_peft,
    ),
    Source(
        program="the paper's reference implementation",
        known_by="`<layer>.R` beside `<layer>.OFT.weight`, `<attention>.processor.to_q_oft.R`",
        becomes="exact, with magnitudes and hint encoder",
        takes=("reference", "coft_eps"),
        recognises=_is_reference,
        read=_read_reference,
    ),
    Source(
        program="LyCORIS' Diag-OFT, sd-scripts' networks.oft",
        known_by="`<layer>.oft_blocks`",
        becomes="exact weights, merged or as ΔW (`OUT` a file .safetensors); no adapter, as it turns outputs",
        takes=("allow_error",),
        recognises=_is_output_side,
        read=_read_output_side,
    ),
)


def markdown_table() -> str:
    """Return the table of the docs: program, names by which its files are known, what they become."""
    rows = ["| from | a file with | becomes |", "| --- | --- | --- |"]
    rows += [f"| {each.program} | {each.known_by} | {each.becomes} |" for each in SOURCES]
    return "\n".join(rows)
