"""A file of weight differences, for front ends that read LyCORIS' ``.diff``."""

from __future__ import annotations

from oft.exchange.formats.format import Export, Format


def _write(export: Export) -> list[str]:
    from oft.exchange.delta import write_delta
    from oft.exchange.merged import take_weights

    weights, lost = take_weights(export.adapter, export.folder)
    write_delta(export.target, export.unet, weights, export.metadata, export.dtype)
    return lost


FORMAT = Format(
    name="delta",
    program="AUTOMATIC1111, ComfyUI",
    loads="as a LoRA's file, with a strength",
    exactness="exact but for the rounding of fp16; magnitudes are in",
    makes="file",
    precisions=("fp16", "fp32"),
    takes=("strength",),
    write=_write,
)
