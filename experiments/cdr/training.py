"""Adam on the physics-informed loss: mean squared residual, and mean squared error at t = 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from experiments.cdr.equation import LENGTH, Equation, initial_condition
from oft.adapters.protocol import Adapter
from oft.seeding import derive_seed, generator_for

if TYPE_CHECKING:
    from jaxtyping import Float

INITIAL_WEIGHT = 10.0
"""Of the initial condition's error beside the residual's, whose derivatives make it larger."""


@dataclass(frozen=True)
class Schedule:
    """How long, how fast and on how many points.

    Attributes:
        learning_rate: Adam's at the first step; it falls to zero along a cosine.
        num_steps: of the optimizer.
        num_points: points of the domain in each step.
        num_initial: points at t = 0 in each step.
    """

    learning_rate: float
    num_steps: int
    num_points: int
    num_initial: int


def draw_points(num_points: int, num_initial: int, generator: torch.Generator) -> Float[Tensor, "n 2"]:
    """Return points (x, t) drawn evenly from the domain, the last ``num_initial`` of them at t = 0."""
    points = torch.rand(num_points + num_initial, 2, generator=generator)
    points[:, 0] *= LENGTH
    points[num_points:, 1] = 0.0
    return points


def physics_loss(
    network: nn.Module, equation: Equation, points: Float[Tensor, "n 2"], num_initial: int
) -> Float[Tensor, ""]:
    """Return the loss at points of which the last ``num_initial`` are at t = 0.

    The equation holds there too, so those count for both parts.
    """
    u, residual = equation.residual(network, points)
    misfit = u[-num_initial:] - initial_condition(points[-num_initial:, 0])
    return residual.square().mean() + INITIAL_WEIGHT * misfit.square().mean()


def train_steps(
    network: nn.Module,
    equation: Equation,
    adapter: Adapter,
    schedule: Schedule,
    *seed: int | str,
) -> Iterator[int]:
    """Train what an adapter of ``network`` trains; yield 1, 2, ... after each step.

    Args:
        seed: what the points, and whatever an adapter draws, follow from.
    """
    generator = generator_for(*seed, "points")
    optimizer = torch.optim.Adam(list(adapter.trained_parameters().values()), lr=schedule.learning_rate)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, schedule.num_steps)
    for step in range(1, schedule.num_steps + 1):
        adapter.before_step(derive_seed(*seed, "step", step))
        points = draw_points(schedule.num_points, schedule.num_initial, generator)
        optimizer.zero_grad()
        physics_loss(network, equation, points, schedule.num_initial).backward()
        optimizer.step()
        adapter.after_step(step)
        rates.step()
        yield step
    adapter.after_training()
