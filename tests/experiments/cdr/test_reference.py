"""The splitting: exact where one part is alone, of second order together, and never outside 0..1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.cdr.equation import Equation, initial_condition
from experiments.cdr.protocol import PRETRAINED, REPORTED, VALIDATION, Protocol
from experiments.cdr.reference import NUM_STEPS_PER_SLICE, grid, solve

X = grid(64)
TIMES = np.linspace(0, 1, 5)[:, None]
GAUSSIAN = initial_condition(torch.from_numpy(X)).numpy()


def test_convection_and_diffusion_alone_are_exact() -> None:
    found = solve(Equation(beta=3, nu=0.5, rho=0), 1 + np.sin(X), 4, steps_per_slice=3)
    assert np.abs(found - (1 + np.exp(-0.5 * TIMES) * np.sin(X - 3 * TIMES))).max() < 1e-13


def test_reaction_alone_is_exact() -> None:
    start = (2 + np.sin(X)) / 4
    found = solve(Equation(beta=0, nu=0, rho=4), start, 4, steps_per_slice=3)
    assert np.abs(found - start / (start + (1 - start) * np.exp(-4 * TIMES))).max() < 1e-13


def test_the_error_is_of_second_order() -> None:
    coarse, middle, fine = (solve(REPORTED[-1], GAUSSIAN, 4, steps) for steps in (10, 20, 40))
    ratio = np.abs(coarse - middle).max() / np.abs(middle - fine).max()
    assert ratio == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("equation", [PRETRAINED, *REPORTED, *VALIDATION], ids=lambda one: one.name)
def test_the_reference_is_far_more_precise_than_any_network(equation: Equation) -> None:
    points, slices = Protocol().grid_points, Protocol().grid_slices
    coarse, fine = (initial_condition(torch.from_numpy(grid(n))).numpy() for n in (points, 2 * points))
    found = solve(equation, coarse, slices)
    finer = solve(equation, fine, slices, 2 * NUM_STEPS_PER_SLICE)
    assert np.abs(found - finer[:, ::2]).max() < 1e-5
    assert found.min() > 0
    assert found.max() <= 1 + 1e-12
