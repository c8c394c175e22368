"""What an adapter did to the weights: its layers' hyperspherical energy, the error of its rotations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oft.adapters.files import LORA_FILE
from oft.errors import CheckpointError, ParamsError
from oft.evaluation.metric import Metric

if TYPE_CHECKING:
    from torch import nn

    from oft.models.base import Base

METRICS = (
    Metric(
        "trainable_parameters", "Trained parameters", "How many numbers training may change.", group="adapter"
    ),
    Metric(
        "rotation_parameters",
        "Parameters of the rotations",
        "How many of them say how layers are rotated.",
        group="adapter",
    ),
    Metric(
        "adapter_parameters",
        "Parameters of the adapter",
        "How many of them change or accompany the base's layers.",
        group="adapter",
    ),
    Metric(
        "hint_encoder_parameters",
        "Parameters of the hint encoder",
        "How many of them read the condition.",
        group="adapter",
    ),
    Metric(
        "magnitude_parameters",
        "Magnitudes",
        "How many of them scale neurons; they are fitted last, with everything else frozen.",
        group="adapter",
    ),
    Metric(
        "hint_encoder_share",
        "Hint encoder's share of the parameters",
        "The larger it is, the less a comparison of adapters says of anything but the hint encoder.",
        unit="share",
        group="adapter",
    ),
    Metric(
        "adapter_bytes",
        "Size of the saved adapter, bytes",
        "What must be kept and sent to use the adapter: its files of weights, in float32.",
        direction="lower",
        group="adapter",
    ),
    Metric(
        "val_loss_before",
        "Validation loss before magnitude fitting",
        "See the words below.",
        direction="lower",
        group="adapter",
    ),
    Metric(
        "val_loss_after",
        "Validation loss after magnitude fitting",
        "See the words below.",
        direction="lower",
        group="adapter",
    ),
    Metric(
        "energy_change",
        "Change of hyperspherical energy",
        "The energy says how evenly the directions of a layer's weight vectors are spread. This is its "
        "relative change from the base: a pure rotation leaves it as it was, up to rounding.",
        direction="lower",
        group="adapter",
    ),
    Metric(
        "orthogonality_error",
        "Orthogonality error",
        "Largest entry of RRᵀ − I over all learned rotations R: 0 for an exact rotation, up to rounding.",
        direction="lower",
        group="adapter",
    ),
)
"""What is said of a trained adapter: here, and by the fitting of magnitudes (``val_loss_*``)."""


def measure_energies(unet: nn.Module, layers: Iterable[str]) -> dict[str, float]:
    """Return the hyperspherical energy of each named layer's weight as it stands.

    Raises:
        CheckpointError: a neuron is zero and has no direction.
    """
    from oft.evaluation.energy import hyperspherical_energy

    energies = {}
    for name in layers:
        try:
            energies[name] = hyperspherical_energy(unet.get_parameter(f"{name}.weight"))
        except ValueError as fault:
            raise CheckpointError(f"layer {name!r}: {fault}") from fault
    return energies


def measure_geometry(base: Base, adapter_folder: Path) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return flat metrics and one row a layer; the adapter is taken off the base again.

    ``energy_change`` is the largest relative change over the layers of the hyperspherical energy (sum over
    pairs of normalised neurons of 1 / ||w_i - w_j||, arXiv 2306.07280, eq. 1), ``orthogonality_error`` the
    largest entry of |R R^T - I|. Magnitudes change no direction, and so no energy. An adapter that changes no
    weights has neither, and one without rotations no orthogonality. ``<part>_parameters`` counts what was
    trained of each part, ``hint_encoder_share`` is that of the hint encoder in them all.

    Raises:
        CheckpointError: the adapter is damaged or another base's, or a neuron is zero.
    """
    from oft.models.adapted import load_adapter_onto

    adapter = load_adapter_onto(base, adapter_folder)
    layers = adapter.adapted_layers()
    with adapter.merging():
        after = measure_energies(base.unet, layers)
    error, parts = adapter.orthogonality_error(), adapter.count_parameters()
    adapter.remove()
    before = measure_energies(base.unet, layers)
    changes = {name: after[name] / before[name] - 1 for name in layers}
    metrics: dict[str, float] = {}
    if changes:
        metrics["energy_change"] = float(np.max(np.abs(list(changes.values()))))
    if error is not None:
        metrics["orthogonality_error"] = error
    metrics |= {f"{part}_parameters": count for part, count in parts.items()}
    total = sum(parts.values())
    metrics["trainable_parameters"] = total
    metrics["adapter_bytes"] = sum(
        path.stat().st_size for path in Path(adapter_folder).rglob("*.safetensors") if path.name != LORA_FILE
    )
    if parts.get("hint_encoder"):
        metrics["hint_encoder_share"] = parts["hint_encoder"] / total
    rows = [
        {
            "layer": name,
            "energy_before": before[name],
            "energy_after": after[name],
            "energy_change": changes[name],
        }
        for name in layers
    ]
    return metrics, rows


def report_energy(
    base: Base, adapter_folder: Path | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the energy of a base's layers with and without an adapter: one summary, one row a layer.

    The layers are the adapter's; without one, those that controllable generation adapts, and their energy
    alone. In the summary an energy is the sum over the layers, ``energy_change`` the largest relative change
    of one; None stands for what is not finite (two neurons of one direction).

    Raises:
        CheckpointError: the adapter is damaged or another base's, or a neuron is zero.
        ParamsError: the adapter changes no weights.
    """
    if adapter_folder is None:
        from oft.adapters.oft.targets import find_targets
        from oft.adapters.targets import UNET_CONTROL_TARGETS

        energies = measure_energies(base.unet, find_targets(base.unet, UNET_CONTROL_TARGETS))
        rows: list[dict[str, Any]] = [{"layer": name, "energy": value} for name, value in energies.items()]
        summary: dict[str, float] = {"energy": sum(energies.values())}
    else:
        metrics, rows = measure_geometry(base, adapter_folder)
        if not rows:
            raise ParamsError(
                f"{adapter_folder}: this kind of adapter changes no weights, so every energy stays the "
                "base's; leave the adapter out to see that"
            )
        summary = {
            **{key: sum(row[key] for row in rows) for key in ("energy_before", "energy_after")},
            **{key: metrics[key] for key in ("energy_change", "orthogonality_error") if key in metrics},
        }
    finite = {key: value if math.isfinite(value) else None for key, value in summary.items()}
    return {"base_hash": base.hash, "layers": len(rows), **finite}, rows
