"""PEFT's truncated Cayley transform, ``use_cayley_neumann=True``: what it computes and what that costs.

PEFT expands (I + S)(I - S)⁻¹ into I + 2 S + 2 S² + ... and stops after ``num_cayley_neumann_terms``. That is
the transform of -S in the exact convention, C(-S), the inverse of what its own exact path makes of the same
parameters. Cut off, it is no rotation any more: with the default five terms it is C(-S) (I - S⁴).

Source: ``OFTRotationModule._cayley_batch`` of PEFT 0.16 to 0.21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from oft.adapters.oft.rotation import cayley, orthogonality_error, skew_from_packed


class TruncationError(NamedTuple):
    """How far truncated series are from the rotations they approximate, the largest over all blocks.

    Attributes:
        rotation: max|R̃ - R|.
        orthogonality: max|R̃ R̃ᵀ - I|.
    """

    rotation: float
    orthogonality: float


def neumann_series(skew: Tensor, num_terms: int, halved_last: bool = True) -> Tensor:
    """Return PEFT's approximation R̃ of C(-S), ``[*, b, b]`` for skew-symmetric S.

    Args:
        num_terms: ``num_cayley_neumann_terms``. The highest power is num_terms - 1; 3 counts as 4.
        halved_last: the last power counts once, not twice, as it does since PEFT 0.18.
    """
    highest = max(num_terms, 4) - 1 if halved_last and num_terms > 2 else num_terms - 1
    identity = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
    series, power = identity.expand_as(skew).clone(), identity
    for exponent in range(1, highest + 1):
        power = power @ skew
        once = halved_last and exponent == highest and num_terms > 2
        series += power if once else 2 * power
    return series


@torch.no_grad()
def truncated_rotations(
    packed: Mapping[str, Tensor], num_terms: int, halved_last: bool = True
) -> dict[str, Tensor]:
    """Return R̃ of each layer, ``[r, b, b]``, from PEFT's packed parameters."""
    return {
        name: neumann_series(skew_from_packed(value.float()), num_terms, halved_last)
        for name, value in packed.items()
    }


@torch.no_grad()
def truncation_error(packed: Mapping[str, Tensor], truncated: Mapping[str, Tensor]) -> TruncationError:
    """Return how far ``truncated`` is from the rotations of PEFT's packed parameters."""
    distances = [
        (truncated[name] - cayley(skew_from_packed(-value.float()))).abs().max().item()
        for name, value in packed.items()
    ]
    return TruncationError(max(distances), max(map(orthogonality_error, truncated.values())))
