"""Names of the files that saved adapters consist of, and what these say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.storage import read_json

CONFIG_FILE = "adapter_config.json"
ADAPTER_FILE = "adapter_model.safetensors"
ROTATION_FILE = ADAPTER_FILE
MAGNITUDE_FILE = "magnitude.safetensors"
HINT_ENCODER_FILE = "hint_encoder.safetensors"
LORA_FILE = "pytorch_lora_weights.safetensors"
DIFFUSERS_CONFIG_FILE = "config.json"
DIFFUSERS_WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"


def read_object(source: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one where there is none, or none that can be read."""
    try:
        # Of a pipe nothing may ever come.
        values = read_json(source) if source.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def read_metadata(source: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; none where there is no such file."""
    from safetensors import SafetensorError, safe_open

    if not source.is_file():
        return {}
    try:
        with safe_open(source, framework="numpy") as opened:
            return dict(opened.metadata() or {})
    except (OSError, SafetensorError):
        return {}
