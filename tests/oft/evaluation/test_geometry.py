"""Geometry of an adapter: a rotation keeps the energy, and the base comes back as it was."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.errors import CheckpointError
from oft.evaluation.energy import hyperspherical_energy
from oft.evaluation.geometry import measure_energies, measure_geometry, report_energy
from oft.models.adapted import init_adapter, save_with_base
from oft.models.base import load_base
from oft.params import Params


@pytest.mark.parametrize("with_condition", [False, True])
def test_a_rotation_keeps_the_energy_and_the_base_comes_back(
    base_folder: Path, params: Params, tmp_path: Path, generator: torch.Generator, with_condition: bool
) -> None:
    base = load_base(base_folder)
    before = {name: value.clone() for name, value in base.unet.state_dict().items()}
    loaded = init_adapter(base, params.adapters["oft"], with_condition=with_condition, generator=generator)
    assert isinstance(loaded, OrthogonalAdapter)
    with torch.no_grad():
        for parameter in loaded.rotations.adapter_parameters():
            parameter.normal_(std=0.1, generator=generator)
    save_with_base(tmp_path, loaded, base)
    adapted = load_base(base_folder)
    metrics, rows = measure_geometry(adapted, tmp_path)
    assert 0 < metrics["energy_change"] <= 1e-5
    assert metrics["orthogonality_error"] <= 1e-6
    assert metrics["rotation_parameters"] == loaded.rotations.num_parameters
    encoder = loaded.encoder
    hints = sum(value.numel() for value in encoder.parameters()) if encoder else 0
    assert metrics["hint_encoder_parameters"] == hints
    assert metrics["trainable_parameters"] == loaded.rotations.num_parameters + hints
    # An adapter without a hint encoder has no share of it to speak of.
    assert metrics.get("hint_encoder_share", 0) == pytest.approx(hints / metrics["trainable_parameters"])
    assert ("hint_encoder_share" in metrics) == with_condition
    assert metrics["energy_change"] == max(abs(row["energy_change"]) for row in rows)
    for row in rows:
        weight = before[f"{row['layer']}.weight"]
        assert row["energy_before"] == pytest.approx(hyperspherical_energy(weight))
    after = adapted.unet.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_magnitudes_do_not_change_the_energy_and_come_off(
    base_folder: Path, params: Params, tmp_path: Path, generator: torch.Generator
) -> None:
    base = load_base(base_folder)
    loaded = init_adapter(base, params.adapters["oft"], with_condition=False, generator=generator)
    assert isinstance(loaded, OrthogonalAdapter)
    assert loaded.add_magnitudes() and loaded.magnitude is not None
    loaded.unmerge()
    with torch.no_grad():
        for parameter in [*loaded.rotations.adapter_parameters(), *loaded.magnitude.adapter_parameters()]:
            parameter.normal_(std=0.1, generator=generator)
    save_with_base(tmp_path, loaded, base)
    adapted = load_base(base_folder)
    names = set(adapted.unet.state_dict())
    metrics, _ = measure_geometry(adapted, tmp_path)
    assert 0 < metrics["energy_change"] <= 1e-5
    assert metrics["magnitude_parameters"] == loaded.magnitude.num_parameters > 0
    parts = ("rotation", "hint_encoder", "magnitude")
    assert metrics["trainable_parameters"] == sum(metrics[f"{part}_parameters"] for part in parts)
    assert set(adapted.unet.state_dict()) == names
    assert all(type(module).__name__ != "AdaptedLinear" for module in adapted.unet.modules())


def test_the_report_of_a_base_alone_is_that_of_its_layers(base_folder: Path) -> None:
    base = load_base(base_folder)
    summary, rows = report_energy(base)
    assert summary == {
        "base_hash": base.hash,
        "layers": len(rows),
        "energy": sum(row["energy"] for row in rows),
    }
    assert measure_energies(base.unet, [rows[0]["layer"]]) == {rows[0]["layer"]: rows[0]["energy"]}


def test_an_infinite_energy_is_none_and_a_dead_neuron_is_named(base_folder: Path) -> None:
    base = load_base(base_folder)
    layer = report_energy(base)[1][0]["layer"]
    weight = base.unet.get_parameter(f"{layer}.weight")
    with torch.no_grad():
        weight[1] = weight[0]
    summary, rows = report_energy(base)
    assert summary["energy"] is None and rows[0]["energy"] == math.inf
    with torch.no_grad():
        weight[3] = 0
    with pytest.raises(CheckpointError, match=rf"layer '{layer}': .*row 3 of the weight is zero"):
        report_energy(base)
