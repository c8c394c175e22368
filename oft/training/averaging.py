"""An exponential moving average of what is trained: less noisy than the last values, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """Averages of parameters, each after step n at ``d * average + (1 - d) * parameter``.

    d = min(decay, (1 + n) / (10 + n)): early on it forgets faster, or the first values would weigh for long
    (the warm-up of TensorFlow's ExponentialMovingAverage).

    (diffusers' EMAModel writes through ``parameter.data``, which rotations computed from a parameter do not
    notice.)
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        """Start from the parameters' values; ``decay`` is d's limit, 0 to below 1."""
        self.parameters = parameters
        self.decay = decay
        self.values = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the parameters after optimizer step ``step``, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in self.parameters.items():
            self.values[name].lerp_(parameter, 1 - decay)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Go on from averages of an earlier run."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @torch.no_grad()
    def apply(self) -> None:
        """Put the averages in place of the parameters' values."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.values[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages in place for the block."""
        kept = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(kept[name])
