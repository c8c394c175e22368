"""A merged checkpoint: the base's folder with the adapted weights in place of its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from oft.adapters.tensors import read_tensors, write_tensors
from oft.errors import CheckpointError
from oft.models.base import CARD_NAME, PARTS, PICKLED, hash_weights, refuse_pickled
from oft.storage import atomic_folder, write_json

WEIGHTS_NAME = "diffusion_pytorch_model"


def write_merged(
    target: Path,
    base: Path,
    weights: Mapping[str, Tensor],
    origin: str,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the checkpoint ``base`` to the folder ``target`` with ``weights`` put into its UNet.

    ``StableDiffusionPipeline.from_pretrained(target)`` loads it, and so does this pipeline
    (``base.source``): it has a card and a hash of its own. Everything but the UNet's weights is copied; those
    are all written in ``dtype``. (float32 is exact also where the base itself is kept in half precision.)

    Args:
        weights: adapted weights by layer name.
        origin: what the card says where the checkpoint came from.

    Raises:
        CheckpointError: the base's UNet has no weight of such a name and shape.
    """
    refuse_pickled(base)
    with atomic_folder(target) as partial:
        shutil.copytree(
            base,
            partial,
            ignore=lambda folder, names: _ignored_names(Path(folder) == base, folder, names),
            dirs_exist_ok=True,
        )
        (partial / "unet").mkdir(exist_ok=True)
        missing = {f"{name}.weight" for name in weights}
        for source in _unet_files(base):
            tensors, metadata = read_tensors(source)
            for key in [key for key in tensors if key.removesuffix(".weight") in weights]:
                adapted = weights[key.removesuffix(".weight")]
                if key.endswith(".weight") and adapted.shape == tensors[key].shape:
                    tensors[key] = adapted
                    missing.discard(key)
            write_tensors(partial / "unet" / source.name, _cast(tensors, dtype), metadata)
        if missing:
            raise CheckpointError(
                f"{base / 'unet'}: must hold a weight for each adapted layer, of its shape, and has none for "
                f"{', '.join(sorted(missing)[:3])}; use the base the adapter was trained on"
            )
        parts = [part for part in PARTS if (partial / part).is_dir()]
        card = {"origin": origin, "hash": hash_weights(partial, PARTS), "parts": parts}
        write_json(partial / CARD_NAME, card)


def _is_part(path: Path) -> bool:
    if path.is_dir():
        return not path.name.startswith(".")
    return path.suffix == ".json" and path.name != CARD_NAME


def _ignored_names(at_top: bool, folder: str, names: list[str]) -> set[str]:
    ignored = shutil.ignore_patterns(*PICKLED)(folder, names)
    if at_top:  # whole checkpoints in one file, version control and caches may lie there
        ignored |= {name for name in names if not _is_part(Path(folder) / name)}
    if Path(folder).name == "unet":
        ignored |= shutil.ignore_patterns("*.safetensors")(folder, names)
    return ignored


def _unet_files(base: Path) -> list[Path]:
    """Return the files that loading the UNet reads: one, or shards; not variants beside them."""
    whole = base / "unet" / f"{WEIGHTS_NAME}.safetensors"
    return [whole] if whole.is_file() else sorted(whole.parent.glob(f"{WEIGHTS_NAME}-*.safetensors"))


def _cast(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
