"""The residual, by double differentiation, of solutions that are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from experiments.cdr.equation import Equation


def convected(points: Tensor) -> Tensor:
    """1 + e^{-νt} sin(x - βt) for β = 3, ν = 0.5."""
    x, t = points.unbind(-1)
    return 1 + torch.exp(-0.5 * t) * torch.sin(x - 3 * t)


def logistic(points: Tensor) -> Tensor:
    """The logistic curve from (2 + sin x) / 4 for ρ = 4."""
    x, t = points.unbind(-1)
    start = (2 + torch.sin(x)) / 4
    return start / (start + (1 - start) * torch.exp(-4 * t))


def travelling(points: Tensor) -> Tensor:
    """The wave of Ablowitz and Zeppetella (1979) for ν = 0.5, ρ = 3, carried along with β = 2."""
    x, t = points.unbind(-1)
    speed = 2 + 5 * math.sqrt(0.5 * 3 / 6)
    return (1 + torch.exp(math.sqrt(3 / (6 * 0.5)) * (x - speed * t))) ** -2


SOLVED = [
    (Equation(beta=3, nu=0.5, rho=0), convected),
    (Equation(beta=0, nu=0, rho=4), logistic),
    (Equation(beta=2, nu=0.5, rho=3), travelling),
]


def points() -> Tensor:
    """Return points of the domain in float64."""
    return torch.rand(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("equation", "solution"), SOLVED)
def test_the_residual_of_a_solution_is_zero(equation: Equation, solution: Callable[[Tensor], Tensor]) -> None:
    u, residual = equation.residual(solution, points())
    assert torch.equal(u, solution(points()))
    assert residual.abs().max() < 1e-13


@pytest.mark.parametrize("changed", ["beta", "nu", "rho"])
def test_the_residual_of_another_equations_solution_is_not(changed: str) -> None:
    coefficients = {"beta": 2.0, "nu": 0.5, "rho": 3.0}
    coefficients[changed] += 1
    _, residual = Equation(**coefficients).residual(travelling, points())
    assert residual.abs().max() > 0.05
