"""The nearest product of two thin matrices to a change of weights, ΔW ≈ B A (Eckart and Young 1936)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Below this share of the largest, a squared singular value is rounding of the Gram matrix in float64.
NEGLIGIBLE = 1e-15


class Factors(NamedTuple):
    """Of one change of weights ``[out, in]``: ``up`` ``[out, rank]`` times ``down`` ``[rank, in]``.

    Attributes:
        kept: the share of the change's squared Frobenius norm that the product has.
    """

    up: Tensor
    down: Tensor
    kept: float


@torch.no_grad()
def low_rank_factors(change: Tensor, rank: int | None, energy: float | None) -> Factors:
    """Return the best factors of a matrix ``[out, in]`` that is not zero, in float64.

    Each has the roots of the singular values, so that neither is out of the range of half precision.

    Args:
        rank: of the factors, or as many as the matrix has, where that is less.
        energy: where ``rank`` is None, take the smallest rank whose product keeps this share of the squared
            norm.
    """
    matrix = change.double()
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.mT if tall else matrix
    squares, vectors = torch.linalg.eigh(wide @ wide.mT)
    squares, vectors = squares.flip(0).clamp_min(0), vectors.flip(1)
    shares = squares.cumsum(0) / squares.sum()
    available = int((squares > NEGLIGIBLE * squares[0]).sum())
    if rank is None:
        assert energy is not None
        # Rounding keeps the last share a little below 1.
        wanted = int((shares < min(energy, float(shares[available - 1]))).sum()) + 1
    else:
        wanted = rank
    count = min(wanted, available)
    roots = squares[:count].pow(0.25)
    left = vectors[:, :count] * roots
    right = (vectors[:, :count] / roots).mT @ wide
    up, down = (right.mT, left.mT) if tall else (left, right)
    return Factors(up.contiguous(), down.contiguous(), float(shares[count - 1]))
