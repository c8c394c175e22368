"""What an adapter did to the weights: its layers' hyperspherical energy, the error of its rotations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from oft.models.base import Base


def measure_geometry(base: Base, adapter_folder: Path) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return flat metrics and one row a layer; the adapter is taken off the base again.

    ``energy_change`` is the largest relative change over the layers of the hyperspherical energy (sum over
    pairs of normalised neurons of 1 / ||w_i - w_j||, arXiv 2306.07280, eq. 1), ``orthogonality_error`` the
    largest entry of |R R^T - I|.

    Args:
        adapter_folder: a trained adapter, before magnitude fitting.
    """
    from oft.adapters.interop import load_adapter
    from oft.evaluation.energy import hyperspherical_energy

    names_before = dict(base.unet.named_modules())
    loaded = load_adapter(adapter_folder, base.unet, base_hash=base.hash)
    targets = [name for name, _ in loaded.adapter.named_values()]
    layers = {name: names_before[name] for name in targets}
    before = {name: hyperspherical_energy(layer.weight) for name, layer in layers.items()}
    with loaded.adapter.merging():
        after = {name: hyperspherical_energy(base.unet.get_submodule(name).weight) for name in targets}
    changes = {name: after[name] / before[name] - 1 for name in targets}
    trainable = loaded.adapter.num_parameters
    hint_parameters = (
        sum(parameter.numel() for parameter in loaded.hint_encoder.parameters()) if loaded.hint_encoder else 0
    )
    metrics = {
        "energy_change": float(np.max(np.abs(list(changes.values())))),
        "orthogonality_error": loaded.adapter.orthogonality_error(),
        "rotation_parameters": trainable,
        "hint_encoder_parameters": hint_parameters,
        "trainable_parameters": trainable + hint_parameters,
    }
    rows = [
        {
            "layer": name,
            "energy_before": before[name],
            "energy_after": after[name],
            "energy_change": changes[name],
        }
        for name in targets
    ]
    if loaded.hint_encoder is not None:
        from oft.adapters.hint_encoder import detach_hint

        detach_hint(base.unet)
    loaded.adapter.remove()
    return metrics, rows
