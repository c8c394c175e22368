"""A merged checkpoint in diffusers' layout."""

from __future__ import annotations

from oft.exchange.formats.format import Export, Format


def _write(export: Export) -> list[str]:
    from oft.exchange.merged import take_weights, write_merged

    weights, lost = take_weights(export.adapter, export.folder)
    write_merged(export.target, export.base, weights, export.origin, export.dtype)
    return lost


FORMAT = Format(
    name="diffusers",
    program="diffusers, as a whole checkpoint",
    loads="`StableDiffusionPipeline.from_pretrained(out)`; here `base.source: out`",
    exactness="exact but for the rounding of fp16; magnitudes are in",
    makes="folder",
    precisions=("fp16", "fp32"),
    takes=("strength",),
    write=_write,
    is_for_xl=True,
)
