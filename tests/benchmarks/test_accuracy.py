"""The reference is independent, and every computation is compared with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.accuracy import (
    NUM_BLOCKS,
    draw_packed,
    exact_cayley,
    measure_accuracy,
    orthogonality_error,
    our_rotations,
    peft_rotations,
)
from tests.benchmarks.conftest import CPU


def test_the_reference_solves_the_definition() -> None:
    packed = np.array([[0.3, -0.2, 0.5]])
    skew = np.array([[0, 0.3, -0.2], [-0.3, 0, 0.5], [0.2, -0.5, 0]])
    rotation = exact_cayley(packed, 3)[0]
    np.testing.assert_allclose(rotation @ (np.eye(3) + skew), np.eye(3) - skew, atol=1e-15)
    assert orthogonality_error(rotation[None]) < 1e-15


def test_the_error_is_the_largest_entry_of_rrt_minus_one() -> None:
    assert orthogonality_error(np.eye(2)[None] * 1.5) == pytest.approx(1.25)


def test_all_three_compute_the_same_rotation_of_small_parameters() -> None:
    block_size = 16
    packed = draw_packed(block_size, 0.01)
    exact = exact_cayley(packed.double().numpy(), block_size)
    np.testing.assert_allclose(our_rotations(packed), exact, atol=1e-6)
    np.testing.assert_allclose(peft_rotations(packed, block_size, neumann=False), exact, atol=2e-6)
    # The series approximates the inverse of the exact path's rotation.
    inverse = exact.swapaxes(-1, -2)
    np.testing.assert_allclose(peft_rotations(packed, block_size, neumann=True), inverse, atol=1e-3)
    assert np.abs(exact - inverse).max() > 0.01


def test_parameters_have_their_standard_deviation() -> None:
    packed = draw_packed(80, 0.1)
    assert packed.shape == (NUM_BLOCKS, 80 * 79 // 2)
    assert packed.std().item() == pytest.approx(0.1, rel=0.05)


def test_every_setting_has_a_row() -> None:
    rows = measure_accuracy(CPU, block_sizes=(4, 8), stds=(0.01, 0.5))
    assert [(row["block_size"], row["std"]) for row in rows] == [(4, 0.01), (4, 0.5), (8, 0.01), (8, 0.5)]
    assert all(0 <= row["ours"] < 1e-6 and 0 <= row["ours_deviation"] < 1e-6 for row in rows)
    assert all(row["peft_neumann"] > row["ours"] for row in rows)


def test_a_computation_that_fails_has_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("pivots")

    monkeypatch.setattr(torch.linalg, "solve", fail)
    (row,) = measure_accuracy(CPU, block_sizes=(4,), stds=(0.1,))
    assert row["peft_exact"] == "RuntimeError: pivots"
    assert isinstance(row["peft_neumann"], float)
