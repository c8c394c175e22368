"""Networks in transformers' layout that look at pictures: found, checked, loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.errors import CheckpointError, first_line
from oft.models.hub import split_revision
from oft.progress import hide_loading_bars


def load_pretrained(
    setting: str, model: str, processors: Any, networks: Any, device: str, **options: Any
) -> tuple[Any, Any]:
    """Return the processor of a model and its network, on the device and ready to predict.

    Args:
        setting: the key in params.yaml that names the model, for messages.
        model: a folder in transformers' layout, or the id of a model on the hub, with ``@revision`` behind it
            for a certain revision. Only safetensors are read.
        processors: transformers' class of the processor, for example ``AutoImageProcessor``.
        networks: transformers' class of the network, for example ``AutoModelForDepthEstimation``.
        device: torch device.
        options: passed on to the network's ``from_pretrained``.

    Raises:
        CheckpointError: the model is missing, out of reach, damaged or of another kind.
    """
    hide_loading_bars()
    name, revision = split_revision(model)
    try:
        processor = processors.from_pretrained(name, revision=revision or "main")
        network, loading = networks.from_pretrained(
            name, revision=revision or "main", use_safetensors=True, output_loading_info=True, **options
        )
    except Exception as error:  # OSError, ValueError, RuntimeError, SafetensorError, httpx's errors ...
        raise model_fault(setting, model, first_line(error)) from error
    # transformers fills in what is missing at random.
    if missing := sorted(loading["missing_keys"]):
        raise model_fault(setting, model, f"no weights for {len(missing)} tensors, {missing[0]} among them")
    return processor, network.to(device).eval()


def model_fault(setting: str, model: str, reason: str) -> CheckpointError:
    """Return the error to raise: what cannot be loaded, why, and how to get it."""
    name, revision = split_revision(model)
    source = name if name.count("/") == 1 and not Path(name).exists() else "MODEL"
    option = f" --revision {revision}" if revision else ""
    folder = setting.split(".")[-2]
    return CheckpointError(
        f"{setting}: cannot load {model!r}: {reason}. It must be a folder in transformers' layout (config, "
        "processor, with BLIP a tokenizer, and model.safetensors; pickles are refused), or the id of such a "
        "model on the hub (id@revision for a certain revision). Without a network: on a machine with one run "
        f"`hf download {source}{option} --local-dir {folder}`, copy the folder here and set {setting} to its "
        "path"
    )
