"""The convection-diffusion-reaction equation, its initial condition, and its residual by autograd."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

LENGTH = 2 * math.pi
"""The period in x; t runs from 0 to 1."""
CENTRE, WIDTH = math.pi, math.pi / 4
"""Mean and standard deviation of the Gaussian that the benchmark starts from."""


@dataclass(frozen=True)
class Equation:
    """u_t + β u_x = ν u_xx + ρ u (1 - u).

    Attributes:
        beta: speed of convection.
        nu: diffusivity.
        rho: rate of reaction.
    """

    beta: float
    nu: float
    rho: float

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"beta={self.beta:g},nu={self.nu:g},rho={self.rho:g}"

    def residual(
        self, solution: Callable[[Tensor], Tensor], points: Float[Tensor, "n 2"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Return u and u_t + β u_x - ν u_xx - ρ u (1 - u) at points (x, t); both can be differentiated on.

        Args:
            solution: u of points ``[n, 2]``, each value a function of its own point alone.
        """
        points = points.detach().requires_grad_()
        u = solution(points)
        (first,) = torch.autograd.grad(u.sum(), points, create_graph=True)
        u_x, u_t = first.unbind(-1)
        (second,) = torch.autograd.grad(u_x.sum(), points, create_graph=True)
        u_xx = second[:, 0]
        return u, u_t + self.beta * u_x - self.nu * u_xx - self.rho * u * (1 - u)


def initial_condition(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return u(x, 0): a Gaussian of height 1."""
    return torch.exp(-0.5 * ((x - CENTRE) / WIDTH) ** 2)
