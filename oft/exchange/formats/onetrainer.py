"""OneTrainer's OFT (v2), in the names that it saves and loads as a legacy LoRA file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oft.exchange.formats.format import Export, Format

if TYPE_CHECKING:
    from torch import nn


def _reads(unet: nn.Module, name: str) -> bool:
    return True  # every linear layer and convolution


def _write(export: Export) -> list[str]:
    from oft.adapters.oft.adapter import OrthogonalAdapter
    from oft.exchange.series import write_series

    notes = write_series(export, "OneTrainer", _reads, {})
    adapter = export.adapter
    assert isinstance(adapter, OrthogonalAdapter)
    sizes = sorted({size for _, size in adapter.rotations.block_shapes.values()})
    setting = f"oft_block_size {sizes[0]}" + ", oft_block_share" * adapter.rotations.config.block_share
    notes.append(
        f"to go on training there, set {setting}"
        if len(sizes) == 1
        else f"OneTrainer has one block size for all layers, and these are {', '.join(map(str, sizes))}: "
        "what reads them from the shapes loads the file (ComfyUI-OFTv2); to go on training there, train "
        "with block_size"
    )
    return notes


FORMAT = Format(
    name="onetrainer",
    program="OneTrainer, ComfyUI-OFTv2",
    loads="as the LoRA of a training of type OFT (v2); in ComfyUI as a LoRA's file",
    exactness="its series of five terms, fitted; refused above 1e-3 of the effect; no magnitudes",
    makes="file",
    precisions=("fp32", "fp16"),
    takes=("strength", "allow_error"),
    write=_write,
)
