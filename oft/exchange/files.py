"""Where other programs keep an adapter's weights in a folder."""

from __future__ import annotations

from pathlib import Path

from oft.errors import CheckpointError

# The names that PEFT and the reference implementation give the file; the safe format first.
FILE_NAMES = (
    "adapter_model.safetensors",
    "adapter_model.bin",
    "pytorch_oft_weights.safetensors",
    "pytorch_oft_weights.bin",
    "pytorch_lora_weights.safetensors",
    "pytorch_lora_weights.bin",
)


def find_checkpoint(source: Path) -> Path:
    """Return the file of weights: ``source`` itself, or the one in the folder ``source``.

    Raises:
        CheckpointError: there is no such file.
    """
    if source.is_file():
        return source
    for name in FILE_NAMES:
        if (source / name).is_file():
            return source / name
    if source.is_dir():
        raise CheckpointError(
            f"{source}: a folder must hold one of {', '.join(FILE_NAMES)}, and holds none; "
            "name the file of weights itself"
        )
    raise CheckpointError(f"{source}: must be a file or folder of weights, and does not exist")
