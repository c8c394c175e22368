"""Networks in transformers' layout that look at pictures: found, checked, loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.errors import CheckpointError
from oft.models.copying import TOKENIZER_FILES
from oft.models.hub import HUB_FORM, find_folder
from oft.models.loading import load_network, load_part

MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "vocab.txt",
    *TOKENIZER_FILES,
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
)
"""What is fetched of a repository on the hub: no pickles, no code."""


def load_pretrained(
    setting: str, model: str, processors: Any, networks: Any, device: str, **options: Any
) -> tuple[Any, Any]:
    """Return the processor of a model and its network, on the device and ready to predict.

    Args:
        setting: the key in params.yaml that names the model, for messages.
        model: a folder in transformers' layout, or the id of a model on the hub with its commit. Only
            safetensors are read.
        processors: transformers' class of the processor, for example ``AutoImageProcessor``.
        networks: transformers' class of the network, for example ``AutoModelForDepthEstimation``.
        device: torch device.
        options: passed on to `load_network`.

    Raises:
        CheckpointError: the model is missing, out of reach, damaged or of another kind.
    """
    folder = find_folder(model, MODEL_FILES, setting)
    remedy = _remedy(setting)
    processor = load_part(processors, folder, remedy)
    return processor, load_network(networks, folder, remedy, **options).to(device)


def model_fault(setting: str, model: str | Path, reason: str) -> CheckpointError:
    """Return the error to raise: what cannot be used, why, and what can."""
    return CheckpointError(f"{setting}: cannot use {str(model)!r}: {reason}; {_remedy(setting)}")


def _remedy(setting: str) -> str:
    return (
        f"set {setting} in params.yaml to a folder in transformers' layout (config, processor, with BLIP a "
        f"tokenizer, and model.safetensors: pickles and code are refused), or to {HUB_FORM} on the hub"
    )
