"""The widths of the layers that an adapter of a subject rotates, from the base's configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oft.models.architectures import ARCHITECTURES, UNET_CONFIGS
from oft.storage import read_json

MINIATURE = Path("data/models/miniature/base")


def adapted_widths(repository: Path, base: Mapping[str, Any]) -> list[int]:
    """Return the input widths of the UNet's attention layers, ascending.

    Args:
        base: the section ``base`` of a profile.

    Returns:
        Nothing for a base on the hub: its configuration is not here yet, and the stage `init` checks.
    """
    config = _unet_config(repository, base)
    if config is None:
        return []
    channels = config["block_out_channels"]
    with_attention = [
        width
        for width, kind in zip(channels, config["down_block_types"], strict=True)
        if kind.startswith("CrossAttn")
    ]
    return sorted({*with_attention, channels[-1], config["cross_attention_dim"]})


def _unet_config(repository: Path, base: Mapping[str, Any]) -> Mapping[str, Any] | None:
    source, name = str(base["source"]), str(base["config"])
    folder = repository / (MINIATURE if source == "miniature" else source)
    if source.endswith((".ckpt", ".safetensors")):
        shipped = {str(checkpoint): UNET_CONFIGS[kind] for checkpoint, kind in ARCHITECTURES.items()}
        if name in shipped:
            return shipped[name]
        folder = repository / name
    path = folder / "unet" / "config.json"
    return dict(read_json(path)) if path.is_file() else None
