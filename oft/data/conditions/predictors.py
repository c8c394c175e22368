"""Networks in transformers' layout that predict a map of a picture: found, checked, loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.errors import CheckpointError


def load_predictor(condition: str, model: str, architectures: Any, device: str) -> tuple[Any, Any]:
    """Return the image processor and the network of a model, ready to predict.

    Args:
        condition: its name, for messages.
        model: a folder in transformers' layout, or the id of a model on the hub, with ``@revision`` behind it
            for a certain revision. Only safetensors are read.
        architectures: transformers' class of the network, for example ``AutoModelForDepthEstimation``.
        device: torch device.

    Raises:
        CheckpointError: the model is missing, out of reach, damaged or of another kind.
    """
    from transformers import AutoImageProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()  # a stage has one bar, its own
    name, _, revision = (model, "", "") if Path(model).exists() else model.partition("@")
    try:
        processor = AutoImageProcessor.from_pretrained(name, revision=revision or "main")
        network, loading = architectures.from_pretrained(
            name, revision=revision or "main", use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # OSError, ValueError, RuntimeError, SafetensorError, httpx's errors ...
        lines = str(error).strip().splitlines()
        raise model_fault(condition, model, lines[0] if lines else type(error).__name__) from error
    if missing := sorted(loading["missing_keys"]):
        raise model_fault(condition, model, f"no weights for {len(missing)} tensors, {missing[0]} among them")
    return processor, network.to(device).eval()


def model_fault(condition: str, model: str, reason: str) -> CheckpointError:
    """Return the error to raise: what cannot be loaded, why, and how to get it."""
    name, _, revision = model.partition("@")
    source = "MODEL" if Path(model).exists() or model.count("/") != 1 else name
    option = f" --revision {revision}" if revision else ""
    return CheckpointError(
        f"cannot load the network for condition {condition!r} from {model!r}: {reason.rstrip('.')}. It must "
        "be a folder with config.json, preprocessor_config.json and model.safetensors, or the id of such a "
        "model on the hub (id@revision for a certain revision). Without a network: on a machine with one run "
        f"`hf download {source}{option} --local-dir {condition}`, copy the folder here and set "
        f"conditions.{condition}.model to its path"
    )
