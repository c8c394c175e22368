"""A LoRA for ``load_lora_weights`` of diffusers, whatever the adapter is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oft.exchange.formats.format import DEFAULT_ENERGY, Export, Format

if TYPE_CHECKING:
    from torch import Tensor


def _write(export: Export) -> list[str]:
    adapter, options, metadata = export.adapter, export.options, export.metadata
    if options.rank is None and options.energy is None:
        factors = adapter.lora_state()
        if factors is not None:
            _load_text_encoder(export)
            factors = adapter.lora_state() or {}
            scaled = {
                name: value * options.strength if ".lora_B." in name else value
                for name, value in factors.items()
            }
            _save(export, {name: value.to(export.dtype) for name, value in scaled.items()}, metadata)
            return ["the adapter is a LoRA: these are its own factors, with their scale in B", *_hint(export)]
    from oft.exchange.lora import make_lora, rank_metadata
    from oft.exchange.merged import take_weights

    weights, lost = take_weights(adapter, export.folder)
    energy = options.energy
    if energy is None and options.rank is None:
        energy = DEFAULT_ENERGY
    made = make_lora(export.unet, weights, export.dtype, options.rank, energy)
    _save(export, made.tensors, metadata | rank_metadata(made.ranks))
    ranks = sorted(made.ranks.values())
    notes = [
        f"{len(ranks)} layers of rank {ranks[0]} to {ranks[-1]} keep {100 * made.kept:.4g} % of the change's "
        f"energy; the weights differ from the adapter's by {made.error:.2g} of the change (--rank or "
        "--energy chooses another)"
        if ranks
        else "the adapter changes nothing, so the file is empty"
    ]
    if made.lost:
        notes.append(
            f"{len(made.lost)} biases and norms change and have no place in a LoRA: they are left out, and "
            "counted in the error"
        )
    return notes + lost


def _hint(export: Export) -> list[str]:
    from oft.adapters.hint.adapter import HINT_LOST, HintAdapter

    adapter = export.adapter
    return [HINT_LOST] if isinstance(adapter, HintAdapter) and adapter.encoder is not None else []


def _load_text_encoder(export: Export) -> None:
    from oft.exchange.bases import load_text_encoder

    if (export.folder / "text_encoder").is_dir():
        export.adapter.load_text_encoder(export.folder, load_text_encoder(export.base))


def _save(export: Export, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    from oft.adapters.files import LORA_FILE
    from oft.adapters.tensors import write_tensors
    from oft.storage import atomic_folder

    if export.target.suffix == ".safetensors":
        write_tensors(export.target, tensors, metadata)
        return
    with atomic_folder(export.target) as partial:
        write_tensors(partial / LORA_FILE, tensors, metadata)


FORMAT = Format(
    name="lora",
    program="diffusers, as a LoRA",
    loads="`pipeline.load_lora_weights(out)`",
    exactness="of a LoRA its own factors; of any other change its best low-rank one, with the error stated",
    makes="either",
    precisions=("fp16", "fp32"),
    takes=("strength", "rank", "energy"),
    write=_write,
    is_for_xl=True,
)
