"""Local weights as networks, with one wording of what can be wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.errors import CheckpointError, first_line
from oft.progress import hide_loading_bars


def load_part(model_class: Any, folder: Path, remedy: str, **options: Any) -> Any:
    """Return what ``model_class.from_pretrained`` makes of a folder, without a network.

    Raises:
        CheckpointError: it is missing, damaged or of another class; the message ends with ``remedy``.
    """
    hide_loading_bars()
    try:
        return model_class.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, RuntimeError, KeyError) as fault:
        raise CheckpointError(
            f"{folder}: cannot be loaded as {model_class.__name__} ({first_line(fault)}); {remedy}"
        ) from fault


def load_network(model_class: Any, folder: Path, remedy: str) -> Any:
    """Return a network from weights in safetensors, frozen, in float32 whatever they are kept in.

    Raises:
        CheckpointError: see ``load_part``.
    """
    import torch

    network = load_part(model_class, folder, remedy, use_safetensors=True, dtype=torch.float32)
    return network.eval().requires_grad_(False)
