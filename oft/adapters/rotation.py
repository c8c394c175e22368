"""Block-diagonal rotations from skew-symmetric parameters: the arithmetic of OFT, as pure functions.

Convention, used everywhere in this project and equal to PEFT's exact path (``use_cayley_neumann=False``):

- A block's parameter is the packed upper triangle ``p`` of length b(b-1)/2, row by row as in
  ``torch.triu_indices(b, b, 1)``. Its skew-symmetric matrix is S = U - Uᵀ, where U holds ``p`` above the
  diagonal (no factor one half: an entry of ``p`` is an entry of S).
- R = (I - S)(I + S)⁻¹, Cayley's transform: orthogonal for every S, and R = I for S = 0.
- A layer's input, as a row vector, becomes x R, block by block. On the weight side that is y = W Rᵀ x, a
  weight W' = W Rᵀ whose rows (the neurons) are turned together: their lengths and mutual angles stay.

Rotations are stacks ``[r, b, b]`` for r blocks with r b = in_features, or ``[1, b, b]``, one block for all.

Both maps of the chain packed -> S -> R keep what their gradient needs outside autograd's saved tensors. A
graph through them can therefore be walked backward any number of times, which lets one computed R serve
several micro-batches (gradient accumulation), and it is the same to gradient checkpointing whether R was
computed inside or outside a checkpointed region. The price: they are differentiable once.

Sources: Qiu et al., "Controlling Text-to-Image Diffusion by Orthogonal Finetuning", arXiv 2306.07280;
Qiu et al., "Orthogonal Finetuning Made Scalable" (rotating the input instead of the weight).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def block_size_of(packed: Tensor) -> int:
    """Return b for packed parameters ``[*, b(b-1)/2]``.

    Raises:
        ValueError: the last dimension is not of the form b(b-1)/2 with b >= 2.
    """
    length = packed.shape[-1]
    block_size = (1 + math.isqrt(1 + 8 * length)) // 2
    if length == 0 or block_size * (block_size - 1) // 2 != length:
        raise ValueError(f"a packed skew matrix has b(b-1)/2 entries for some b >= 2, got {length}")
    return block_size


def skew_from_packed(packed: Tensor) -> Tensor:
    """Return the matrices S = U - Uᵀ, ``[*, b, b]``, of packed upper triangles ``[*, b(b-1)/2]``.

    Raises:
        ValueError: the last dimension is not of the form b(b-1)/2.
    """
    return _SkewFromPacked.apply(packed)


def packed_from_skew(skew: Tensor) -> Tensor:
    """Return the packed upper triangles ``[*, b(b-1)/2]`` of skew-symmetric matrices ``[*, b, b]``."""
    rows, columns = _upper_triangle(skew.shape[-1], skew.device)
    return skew[..., rows, columns]


def cayley(skew: Tensor) -> Tensor:
    """Return R = (I - S)(I + S)⁻¹ for skew-symmetric S, ``[*, b, b]`` to ``[*, b, b]``.

    S must be skew-symmetric: the result for any other matrix is meaningless. The result is float32 at least.
    On the CPU it is computed in float64, elsewhere in float32 and one Newton-Schulz step towards the nearest
    orthogonal matrix; max|R Rᵀ - I| stays below 1e-6 either way.

    The gradient needs R alone: (I + S)⁻¹ = (I + R) / 2, so dR = -½ (I + R) dS (I + R).
    """
    return _Cayley.apply(skew)


def rotate_input(x: Tensor, rotations: Tensor) -> Tensor:
    """Return x R, ``[*, in]``, for rotations ``[r, b, b]`` with r b = in, or one for all, ``[1, b, b]``.

    R is applied in the type of ``x``. linear(x R, W) equals linear(x, ``rotate_weight(W, R)``).

    Raises:
        ValueError: the blocks do not make up the last dimension of ``x``.
    """
    rotations = rotations.to(x.dtype)
    blocks, block_size = rotations.shape[0], rotations.shape[-1]
    if x.shape[-1] % block_size or blocks not in (1, x.shape[-1] // block_size):
        raise ValueError(f"{blocks} blocks of {block_size} do not make up {x.shape[-1]} features")
    if blocks == 1:
        return (x.reshape(-1, block_size) @ rotations[0]).reshape(x.shape)
    by_block = x.reshape(-1, blocks, block_size).transpose(0, 1)
    return torch.bmm(by_block, rotations).transpose(0, 1).reshape(x.shape)


def rotate_weight(weight: Tensor, rotations: Tensor) -> Tensor:
    """Return W' = W Rᵀ, ``[out, in]``, for rotations as in ``rotate_input``; the weight keeps its type.

    The product is taken in the more precise of the two types: a half-precision weight is rotated in float32.
    """
    precise = torch.promote_types(weight.dtype, rotations.dtype)
    return rotate_input(weight.to(precise), rotations.mT).to(weight.dtype)


def rotation_gradient(x: Tensor, grad: Tensor, like: Tensor) -> Tensor:
    """Return dL/dR for z = x R, given x and dL/dz, both ``[*, in]``: xᵢᵀ dzᵢ for each block i.

    Shape and type are those of ``like``, the rotations; a block shared by all gathers their sum.
    """
    x_by_block = x.reshape(-1, like.shape[0], like.shape[-1])
    grad_by_block = grad.reshape(x_by_block.shape)
    return torch.bmm(x_by_block.permute(1, 2, 0), grad_by_block.transpose(0, 1)).to(like.dtype)


@torch.no_grad()
def orthogonality_error(rotations: Tensor) -> float:
    """Return max|R Rᵀ - I| over all blocks of ``[*, b, b]``, measured in float64."""
    exact = rotations.double()
    gram = exact @ exact.mT
    gram.diagonal(dim1=-2, dim2=-1).sub_(1)
    return gram.abs().max().item()


def coft_bound(eps: float, block_size: int, num_blocks: int, shared: bool) -> float:
    """Return the largest Frobenius norm constrained finetuning (COFT) allows a block's S.

    eps b² / √r, or eps b² where one block is shared: the convention of the paper's reference implementation.
    Its parameter, unlike the packed one, is a full matrix halved to S = (P - Pᵀ) / 2, but P stays
    skew-symmetric under training from zero, so its norm is that of S and the bound means the same here. PEFT
    bounds S too, by eps / √r: PEFT's eps is ours times b².
    """
    return eps * block_size**2 / (1.0 if shared else math.sqrt(num_blocks))


@torch.no_grad()
def skew_norm(packed: Tensor) -> Tensor:
    """Return the Frobenius norms of S, ``[*]``: √2 times those of the packed entries ``[*, b(b-1)/2]``."""
    return math.sqrt(2.0) * torch.linalg.vector_norm(packed, dim=-1)


@torch.no_grad()
def project_skew(packed: Tensor, bound: float) -> Tensor:
    """Return packed parameters whose blocks lie in the ball of Frobenius norm ``bound`` around zero.

    Blocks inside are returned as they are, others are scaled onto its surface (COFT, arXiv 2306.07280).
    """
    norm = skew_norm(packed).unsqueeze(-1)
    return torch.where(norm <= bound, packed, packed * (bound / norm))


def without_autocast(device: torch.device) -> torch.autocast:
    """Return a context in which autocast does not lower the precision of products on ``device``."""
    return torch.autocast(device.type, enabled=False)


def _upper_triangle(block_size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    rows, columns = torch.triu_indices(block_size, block_size, 1, device=device)
    return rows, columns


class _SkewFromPacked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed: Tensor) -> Tensor:
        block_size = block_size_of(packed)
        rows, columns = _upper_triangle(block_size, packed.device)
        upper = packed.new_zeros(*packed.shape[:-1], block_size, block_size)
        upper[..., rows, columns] = packed
        return upper - upper.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return packed_from_skew(grad - grad.mT)


class _Cayley(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, skew: Tensor) -> Tensor:
        working_dtype = torch.float64 if skew.device.type == "cpu" else torch.float32
        with without_autocast(skew.device):
            rotations = _cayley(skew, torch.promote_types(skew.dtype, working_dtype))
        ctx.rotations = rotations.detach()
        ctx.skew_dtype = skew.dtype
        return rotations

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # dR = -½ (I + R) dS (I + R), so <G, dR> = <-½ (I + R)ᵀ G (I + R)ᵀ, dS>.
        with without_autocast(grad.device):
            factor = _plus_identity(ctx.rotations.mT, 1.0)
            return ((factor @ grad @ factor) * -0.5).to(ctx.skew_dtype)


def _cayley(skew: Tensor, working_dtype: torch.dtype) -> Tensor:
    # (I + S)⁻¹ = (I - S)(I - S²)⁻¹ and I - S² = I + SᵀS is symmetric positive definite: Cholesky serves, no
    # pivoting. R = (I - S)(I + S)⁻¹ = 2 (I + S)⁻¹ - I = 2 (I + SᵀS)⁻¹ (I - S) - I, exactly I for S = 0.
    result_dtype = torch.promote_types(skew.dtype, torch.float32)
    skew = skew.to(working_dtype)
    cholesky_factor, _ = torch.linalg.cholesky_ex(_plus_identity(skew.mT @ skew, 1.0))
    rotations = torch.cholesky_solve(_plus_identity(-skew, 1.0), cholesky_factor)
    rotations = _plus_identity(2.0 * rotations, -1.0)
    if working_dtype == torch.float32:
        defect = _plus_identity(-(rotations.mT @ rotations), 1.0)
        rotations = rotations + 0.5 * (rotations @ defect)
    return rotations.to(result_dtype)


def _plus_identity(matrix: Tensor, factor: float) -> Tensor:
    result = matrix.clone()
    result.diagonal(dim1=-2, dim2=-1).add_(factor)
    return result
