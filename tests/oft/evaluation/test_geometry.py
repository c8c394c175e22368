"""Geometry of an adapter: a rotation keeps the energy, and the base comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from oft.evaluation.energy import hyperspherical_energy
from oft.evaluation.geometry import measure_geometry
from oft.models.base import load_base
from oft.params import Params
from oft.training.adapters import init_adapter, store


@pytest.mark.parametrize("with_condition", [False, True])
def test_a_rotation_keeps_the_energy_and_the_base_comes_back(
    base_folder: Path, params: Params, tmp_path: Path, generator: torch.Generator, with_condition: bool
) -> None:
    base = load_base(base_folder)
    before = {name: value.clone() for name, value in base.unet.state_dict().items()}
    loaded = init_adapter(base, params.adapter.oft, with_condition=with_condition, generator=generator)
    with torch.no_grad():
        for parameter in loaded.adapter.adapter_parameters():
            parameter.normal_(std=0.1, generator=generator)
    store(tmp_path, loaded, base)
    adapted = load_base(base_folder)
    metrics, rows = measure_geometry(adapted, tmp_path)
    assert 0 < metrics["energy_change"] <= 1e-5
    assert metrics["orthogonality_error"] <= 1e-6
    assert metrics["rotation_parameters"] == loaded.adapter.num_parameters
    encoder = loaded.hint_encoder
    hints = sum(value.numel() for value in encoder.parameters()) if encoder else 0
    assert metrics["hint_encoder_parameters"] == hints
    assert metrics["trainable_parameters"] == loaded.adapter.num_parameters + hints
    assert metrics["energy_change"] == max(abs(row["energy_change"]) for row in rows)
    for row in rows:
        weight = before[f"{row['layer']}.weight"]
        assert row["energy_before"] == pytest.approx(hyperspherical_energy(weight))
    after = adapted.unet.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
