"""A merged checkpoint: the base's folder with the adapted weights in place of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from oft.adapters.protocol import Adapter
from oft.adapters.tensors import read_tensors, write_tensors
from oft.errors import CheckpointError, ParamsError
from oft.models.base import CARD_NAME, hash_weights, parts_of, refuse_pickled
from oft.models.copying import WEIGHTS_NAMES, copy_plain
from oft.storage import atomic_folder, write_json


def take_weights(adapter: Adapter, folder: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return an adapter's merged weights by parameter name and what they leave out; take it off the UNet.

    Args:
        folder: where it is saved, for messages.

    Raises:
        ParamsError: merging it changes no weight.
    """
    weights, lost = adapter.merged_values(), adapter.lost_by_merging()
    if not weights:
        raise ParamsError(
            f"{folder}: this kind of adapter ({adapter.method}) changes no weights, so there are none to "
            "merge; use it as it is"
        )
    adapter.remove()
    return weights, lost


def write_merged(
    target: Path,
    base: Path,
    weights: Mapping[str, Tensor],
    origin: str,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the checkpoint ``base`` to the folder ``target`` with ``weights`` put into its UNet.

    ``DiffusionPipeline.from_pretrained(target)`` loads it, and so does this pipeline
    (``base.source``): it has a card and a hash of its own. Everything but the UNet's weights is copied; those
    are all written in ``dtype``. (float32 is exact also where the base itself is kept in half precision.)

    Args:
        weights: adapted weights by parameter name.
        origin: what the card says where the checkpoint came from.

    Raises:
        CheckpointError: the base's UNet has no weight of such a name and shape.
    """
    with atomic_folder(target) as partial:
        fill_merged(partial, base, weights, origin, dtype)


def fill_merged(
    folder: Path, base: Path, weights: Mapping[str, Tensor], origin: str, dtype: torch.dtype = torch.float32
) -> None:
    """Write what ``write_merged`` writes into a folder that is there."""
    refuse_pickled(base)
    for path in _kept_files(base):
        copy_plain(path, folder / path.relative_to(base), base)
    missing = set(weights)
    for source in _unet_files(base):
        tensors, metadata = read_tensors(source)
        for key in missing & tensors.keys():
            if weights[key].shape == tensors[key].shape:
                tensors[key] = weights[key]
                missing.discard(key)
        write_tensors(folder / "unet" / source.name, _cast(tensors, dtype), metadata)
    if missing:
        raise CheckpointError(
            f"{base / 'unet'}: must hold a weight for each adapted layer, of its shape, and has none for "
            f"{', '.join(sorted(missing)[:3])}; use the base the adapter was trained on"
        )
    parts = [part for part in parts_of(folder) if (folder / part).is_dir()]
    card = {"origin": origin, "hash": hash_weights(folder, parts), "parts": parts}
    write_json(folder / CARD_NAME, card)


def _kept_files(base: Path) -> Iterator[Path]:
    """Yield the files to copy: the index, and of each part its texts and safetensors but the UNet's own.

    Whole checkpoints in one file, version control and caches may lie at the top.
    """
    yield from (path for path in sorted(base.glob("*.json")) if path.name != CARD_NAME)
    for part in sorted(path for path in base.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for path in sorted(part.iterdir()):
            weights = path.suffix == ".safetensors" and part.name != "unet"
            if weights or path.suffix in (".json", ".txt"):
                yield path


def _unet_files(base: Path) -> list[Path]:
    """Return the files that loading the UNet reads: one, or shards; not variants beside them."""
    whole = base / "unet" / f"{WEIGHTS_NAMES['unet']}.safetensors"
    return [whole] if whole.is_file() else sorted(whole.parent.glob(f"{WEIGHTS_NAMES['unet']}-*.safetensors"))


def _cast(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
