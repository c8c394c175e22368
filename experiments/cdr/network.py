"""The network that stands for u(x, t), and its error against a reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from experiments.cdr.equation import Equation, initial_condition
from experiments.cdr.reference import grid, solve

if TYPE_CHECKING:
    from jaxtyping import Float

NUM_INPUTS = 3
"""cos x, sin x and time, scaled to -1..1."""


class PINN(nn.Module):
    """A multilayer perceptron with tanh, periodic in x with period 2π.

    Attributes:
        first: from coordinates to the first hidden layer.
        hidden: the square matrices between hidden layers, what adapters change.
        last: one neuron.
    """

    def __init__(self, width: int, num_hidden: int, generator: torch.Generator) -> None:
        """Draw weights as Glorot and Bengio (2010) do, biases zero.

        Args:
            width: neurons of a hidden layer.
            num_hidden: square matrices; there are as many hidden layers and one.
        """
        super().__init__()
        self.first = nn.Linear(NUM_INPUTS, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(num_hidden))
        self.last = nn.Linear(width, 1)
        for layer in (self.first, *self.hidden, self.last):
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, points: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        """Return u at points (x, t)."""
        x, t = points.unbind(-1)
        features = torch.tanh(self.first(torch.stack([x.cos(), x.sin(), 2 * t - 1], dim=-1)))
        for layer in self.hidden:
            features = torch.tanh(layer(features))
        u: Tensor = self.last(features).squeeze(-1)
        return u

    def hidden_names(self) -> list[str]:
        """Return the names of the layers that adapters change."""
        return [f"hidden.{index}" for index in range(len(self.hidden))]


@dataclass(frozen=True)
class Errors:
    """How far a network is from a solution, over the whole grid of space and time.

    Attributes:
        relative_l2: ‖u - v‖₂ / ‖v‖₂.
        maximum: max |u - v|.
    """

    relative_l2: float
    maximum: float


@cache
def reference_for(equation: Equation, num_points: int, num_slices: int) -> Reference:
    """Return an equation's solution on a grid, solved once a process."""
    return Reference(equation, num_points, num_slices)


class Reference:
    """An equation's solution on a grid, and the grid's points."""

    def __init__(self, equation: Equation, num_points: int, num_slices: int) -> None:
        """Solve the equation on ``num_points`` in x, at ``num_slices`` even times after the first."""
        x = grid(num_points)
        initial = initial_condition(torch.from_numpy(x)).numpy()
        self.solution = solve(equation, initial, num_slices)
        times = np.linspace(0.0, 1.0, num_slices + 1)
        where = np.stack([np.tile(x, len(times)), np.repeat(times, len(x))], axis=-1)
        self._points = torch.from_numpy(where).float()

    @torch.no_grad()
    def errors(self, network: nn.Module) -> Errors:
        """Return the errors of a network, summed in float64."""
        found = network(self._points).double().numpy().reshape(self.solution.shape)
        difference = found - self.solution
        relative = np.linalg.norm(difference) / np.linalg.norm(self.solution)
        return Errors(float(relative), float(np.abs(difference).max()))
