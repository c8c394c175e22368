"""A merged checkpoint with the hint encoder and a pipeline of its own, for adapters that take an image."""

from __future__ import annotations

from oft.errors import ParamsError
from oft.exchange.formats.format import Export, Format


def _write(export: Export) -> list[str]:
    from oft.adapters.hint.adapter import HINT_LOST, HintAdapter
    from oft.exchange.control import add_control
    from oft.exchange.merged import fill_merged
    from oft.storage import atomic_folder

    adapter = export.adapter
    if not isinstance(adapter, HintAdapter) or adapter.encoder is None:
        advice = (
            "stock diffusers loads its folder as a ControlNetModel"
            if adapter.takes_condition
            else "give --format diffusers"
        )
        raise ParamsError(
            f"{export.folder}: diffusers-control is for adapters with a hint encoder, and this one has none; "
            f"{advice}"
        )
    encoder, weights = adapter.encoder, adapter.merged_values()
    lost = [note for note in adapter.lost_by_merging() if note != HINT_LOST]
    with atomic_folder(export.target) as partial:
        fill_merged(partial, export.base, weights, export.origin, export.dtype)
        add_control(partial, encoder, export.identity)
    return [
        *lost,
        "the folder carries code, pipeline.py and hint_encoder/hint_encoder.py, which diffusers runs where "
        "trust_remote_code=True is given",
    ]


FORMAT = Format(
    name="diffusers-control",
    program="diffusers, control adapters with their hint encoder",
    loads="`DiffusionPipeline.from_pretrained(out, custom_pipeline=out, trust_remote_code=True)`",
    exactness="exact but for the rounding of fp16; magnitudes are in",
    makes="folder",
    precisions=("fp16", "fp32"),
    takes=("strength",),
    write=_write,
)
