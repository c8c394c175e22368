from __future__ import annotations

import math

import pytest
import torch

from oft.evaluation import energy
from oft.evaluation.energy import hyperspherical_energy


def test_energy_is_the_sum_over_ordered_pairs() -> None:
    # Directions at 0°, 90° and 180°: distances √2, √2 and 2, each counted both ways.
    weight = torch.tensor([[3.0, 0.0], [0.0, 0.5], [-7.0, 0.0]])
    assert hyperspherical_energy(weight) == pytest.approx(2 * (2 / math.sqrt(2) + 1 / 2), rel=1e-12)


def test_energy_in_chunks_is_the_energy(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(23, 9, generator=generator)
    rows = torch.nn.functional.normalize(weight.double())
    expected = sum(1 / (rows[i] - rows[j]).norm().item() for i in range(23) for j in range(23) if i != j)
    assert hyperspherical_energy(weight) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(energy, "CHUNK_ROWS", 5)
    assert hyperspherical_energy(weight) == pytest.approx(expected, rel=1e-12)


def test_energy_ignores_lengths_and_rotations_but_not_angles(generator: torch.Generator) -> None:
    weight = torch.randn(12, 8, generator=generator)
    lengths = torch.rand(12, 1, generator=generator) + 0.1
    before = hyperspherical_energy(weight)
    orthogonal, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator).double())
    assert abs(hyperspherical_energy(weight * lengths) / before - 1) < 1e-6
    assert abs(hyperspherical_energy(weight.double() @ orthogonal) / before - 1) < 1e-12
    assert abs(hyperspherical_energy(weight + torch.randn(12, 8, generator=generator)) / before - 1) > 1e-3


def test_parallel_neurons_have_infinite_energy() -> None:
    assert hyperspherical_energy(torch.tensor([[1.0, 0.0], [2.0, 0.0]])) == math.inf


def test_a_neuron_without_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="row 1 of the weight is zero"):
        hyperspherical_energy(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))


def test_a_convolutions_neurons_are_its_filters(generator: torch.Generator) -> None:
    kernel = torch.randn(6, 4, 3, 3, generator=generator)
    assert hyperspherical_energy(kernel) == hyperspherical_energy(kernel.reshape(6, 36))
