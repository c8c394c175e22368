"""Parameters with which another program's truncated series comes nearest to our rotations.

kohya's ``networks.oft_v2`` and OneTrainer multiply a weight, on its input side, by

    F(P) = I + 2 P + 2 P² + 2 P³ + P⁴ = C(-P) (I - P⁴),   P skew-symmetric,

where our weight is W Rᵀ = W C(-S). P = S turns by the same angles and falls short in length: the factor
I - P⁴ is symmetric, and no skew-symmetric P undoes it, as F(P) is orthogonal for P = 0 alone. So what can be
fitted is how the shortfall meets the weight: P minimises ||W (F(P) - Rᵀ)||.

Each step is one of Gauss and Newton. With O = C(-P), dO = ½ (I + O) dP (I + O), so that dO = K O for
dP = ½ (I - P) K (I + P); the best skew-symmetric K for Y = (Rᵀ - F) Oᵀ has G K + K G = G Y - Yᵀ G, G = Wᵀ W,
which is solved in the eigenvectors of G. Blocks do not meet: each is fitted on its own columns of W.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from oft.adapters.oft.rotation import cayley
from oft.exchange.neumann import neumann_series

NUM_TERMS = 5
# Directions in which the weight is smaller than this share of its mean are left as they are.
RELATIVE_FLOOR = 1e-6


class Fit(NamedTuple):
    """Fitted parameters, and squared norms over all blocks.

    Attributes:
        skew: P, ``[r, b, b]``.
        missed: ||W (F(P) - Rᵀ)||².
        effect: ||W (Rᵀ - I)||².
    """

    skew: Tensor
    missed: float
    effect: float


def block_grams(weight: Tensor, stored_blocks: int, block_size: int) -> Tensor:
    """Return Wᵀ W of each block's columns, ``[stored, b, b]`` in float64, for a weight ``[out, in]``.

    Where one block serves all, they are summed.
    """
    columns = weight.double().unflatten(1, (-1, block_size)).transpose(0, 1)
    grams = columns.mT @ columns
    return grams if stored_blocks == len(grams) else grams.sum(0, keepdim=True)


def squared_norms(grams: Tensor, differences: Tensor) -> Tensor:
    """Return ||W D||² for each block, ``[r]``, given W's Gram matrices."""
    return (differences.mT @ grams @ differences).diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(0)


@torch.no_grad()
def fit_series(weight: Tensor, skew: Tensor, steps: int = 4) -> Fit:
    """Return P for rotations C(S) on the weight ``[out, in]``.

    Args:
        skew: S, ``[r, b, b]``, or ``[1, b, b]`` for all blocks.
        steps: at most; a block keeps the best it had.
    """
    exact = skew.double()
    grams = block_grams(weight, len(exact), exact.shape[-1])
    target = cayley(-exact)
    values, vectors = torch.linalg.eigh(grams)
    floor = RELATIVE_FLOOR * values.mean(-1, keepdim=True)[..., None]
    sums = (values[:, :, None] + values[:, None, :]).clamp_min(0) + floor + torch.finfo(torch.float64).tiny
    fitted = exact
    best = squared_norms(grams, neumann_series(fitted, NUM_TERMS) - target)
    identity = torch.eye(exact.shape[-1], dtype=exact.dtype)
    for _ in range(steps):
        turned = cayley(-fitted)
        rest = grams @ ((target - neumann_series(fitted, NUM_TERMS)) @ turned.mT)
        inside = vectors.mT @ (rest - rest.mT) @ vectors
        direction = vectors @ (inside / sums) @ vectors.mT
        tried = fitted + 0.5 * (identity - fitted) @ direction @ (identity + fitted)
        tried = 0.5 * (tried - tried.mT)  # rounding
        missed = squared_norms(grams, neumann_series(tried, NUM_TERMS) - target)
        better = missed < best
        if not better.any():
            break
        fitted = torch.where(better[:, None, None], tried, fitted)
        best = torch.where(better, missed, best)
    effect = squared_norms(grams, target - identity)
    return Fit(fitted, float(best.sum()), float(effect.sum()))
