"""What orthogonal finetuning rotates, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from torch import nn

from oft.adapters.oft.layers import Application, num_features, num_groups
from oft.adapters.oft.rotation import EpsConvention, ParameterScale
from oft.errors import ParamsError


@dataclass(frozen=True)
class OFTConfig:
    """What is rotated and how.

    Attributes:
        target_modules: endings of the names of the layers to adapt, or one regular expression for whole names
            (see ``find_targets``).
        num_blocks: blocks on R's diagonal, the paper's r; must divide the width of every target's input.
        block_size: size of a block instead of their number; exactly one of the two is given.
        block_share: one block serves a layer's whole diagonal.
        coft: keep S within ``coft_bound(eps, ...)`` of zero (constrained OFT).
        eps: COFT's freedom of rotation.
        eps_convention: what eps means, see ``coft_bound``.
        dropout: probability with which training leaves a block out of a step.
        parameter_scale: what the trained parameters are to S, ``none`` (its entries) or ``block_size`` (those
            are 32 / b times the parameters, so that a learning rate does for every block size), see
            ``oft.adapters.oft.rotation.parameter_scale``.
        application: what a forward pass turns, ``weight`` or ``input``; ``auto`` takes, layer by layer, what
            needs fewer operations. The results are the same but for rounding.

    Raises:
        ParamsError: a value breaks its rule.
    """

    target_modules: tuple[str, ...] | str
    num_blocks: int | None = None
    block_size: int | None = None
    block_share: bool = False
    coft: bool = False
    eps: float = 1e-3
    eps_convention: EpsConvention = "reference"
    dropout: float = 0.0
    parameter_scale: ParameterScale = "none"
    application: Application = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.target_modules, tuple | str) or not self.target_modules:
            raise ParamsError(
                "target_modules must be a non-empty tuple of name endings or a regular expression, got "
                f"{self.target_modules!r}; give for example UNET_CONTROL_TARGETS"
            )
        if (self.num_blocks is None) == (self.block_size is None):
            raise ParamsError(
                f"exactly one of num_blocks ({self.num_blocks}) and block_size ({self.block_size}) must be "
                "given; leave the other None"
            )
        if self.num_blocks is not None and self.num_blocks < 1:
            raise ParamsError(f"num_blocks must be at least 1, got {self.num_blocks}; the paper uses 2 to 16")
        if self.block_size is not None and self.block_size < 2:
            raise ParamsError(f"block_size must be at least 2 to rotate anything, got {self.block_size}")
        if self.coft and not self.eps > 0:
            raise ParamsError(f"eps must be positive for coft, got {self.eps}; the paper uses 1e-3 and 6e-5")
        if not 0 <= self.dropout < 1:
            raise ParamsError(
                f"dropout must be a probability below 1, got {self.dropout}; 0 leaves no block out"
            )
        for key, value, known in (
            ("eps_convention", self.eps_convention, get_args(EpsConvention)),
            ("parameter_scale", self.parameter_scale, get_args(ParameterScale)),
            ("application", self.application, get_args(Application)),
        ):
            if value not in known:
                raise ParamsError(f"{key} must be one of {', '.join(known)}, got {value!r}")

    def blocks_of(self, layer: nn.Module, name: str) -> tuple[int, int]:
        """Return (number of blocks, block size) for a layer of that name.

        A block of a grouped convolution lies within one group.

        Raises:
            ParamsError: the layer's input cannot be cut into such blocks.
        """
        features, groups = num_features(layer), num_groups(layer)
        value = self.num_blocks or self.block_size
        assert value is not None
        quotient, remainder = divmod(features, value)
        num_blocks, block_size = (value, quotient) if self.num_blocks else (quotient, value)
        if remainder or block_size < 2 or (features // groups) % block_size:
            key = "num_blocks" if self.num_blocks else "block_size"
            sizes = [size for size in range(2, features // groups + 1) if features // groups % size == 0]
            fitting = sorted(features // size for size in sizes) if self.num_blocks else sizes
            near = sorted(sorted(fitting, key=lambda divisor: abs(divisor - value))[:3])
            grouped = f" and none of them over two of its {groups} groups" if groups > 1 else ""
            raise ParamsError(
                f"{key} ({value}) must cut in_features ({features}) of {name!r} into equal blocks of 2 or "
                f"more{grouped}; divisors near it: {', '.join(map(str, near)) or 'none'}"
            )
        return num_blocks, block_size

    def packed_shapes(self, targets: Mapping[str, nn.Module]) -> dict[str, tuple[int, int]]:
        """Return the shape of each layer's packed parameter, (stored blocks, b(b-1)/2).

        Raises:
            ParamsError: a layer's input cannot be cut into such blocks.
        """
        shapes = {}
        for name, layer in targets.items():
            num_blocks, block_size = self.blocks_of(layer, name)
            shapes[name] = (1 if self.block_share else num_blocks, block_size * (block_size - 1) // 2)
        return shapes
