"""Block-diagonal rotations from skew-symmetric parameters: the arithmetic of OFT, as pure functions.

Convention, used everywhere in this project and equal to PEFT's exact path (``use_cayley_neumann=False``):

- A block's parameter is the packed upper triangle ``p`` of length b(b-1)/2, row by row as in
  ``torch.triu_indices(b, b, 1)``. Its skew-symmetric matrix is S = U - Uᵀ, where U holds ``p`` above the
  diagonal (no factor one half: an entry of ``p`` is an entry of S).
- R = (I - S)(I + S)⁻¹, Cayley's transform: orthogonal for every S, and R = I for S = 0.
- A layer's input, as a row vector, becomes x R, block by block. On the weight side that is y = W Rᵀ x, a
  weight W' = W Rᵀ whose rows (the neurons) are turned together: their lengths and mutual angles stay.

Rotations are stacks ``[r, b, b]`` for r blocks with r b = in_features, or ``[1, b, b]``, one block for all.

The maps of the chain packed -> S -> R keep what their gradient needs outside autograd's saved tensors. A
graph through them can therefore be walked backward any number of times, which lets one computed R serve
several micro-batches (gradient accumulation), and it is the same to gradient checkpointing whether R was
computed inside or outside a checkpointed region. The gradients are functions of PyTorch's own operations, so
that they have gradients in turn (``create_graph=True``).

Sources: Qiu et al., "Controlling Text-to-Image Diffusion by Orthogonal Finetuning", arXiv 2306.07280;
Qiu et al., "Orthogonal Finetuning Made Scalable" (rotating the input instead of the weight).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

# Whose eps bounds COFT, the paper's implementation's or PEFT's (see coft_bound).
EpsConvention = Literal["reference", "peft"]
# What the skew parameters are multiples of (see parameter_scale).
ParameterScale = Literal["none", "block_size"]
# The block size whose parameters are the entries of S under either scale: PEFT's default.
REFERENCE_BLOCK_SIZE = 32
# Below this size a batched library call beats products of still smaller blocks.
LEAF_SIZE = 20


def block_size_of(packed: Float[Tensor, "*blocks entries"]) -> int:
    """Return b for packed parameters ``[*, b(b-1)/2]``.

    Raises:
        ValueError: the last dimension is not of the form b(b-1)/2 with b >= 2.
    """
    length = packed.shape[-1]
    block_size = (1 + math.isqrt(1 + 8 * length)) // 2
    if length == 0 or block_size * (block_size - 1) // 2 != length:
        raise ValueError(f"a packed skew matrix has b(b-1)/2 entries for some b >= 2, got {length}")
    return block_size


def skew_from_packed(packed: Float[Tensor, "*blocks entries"]) -> Float[Tensor, "*blocks b b"]:
    """Return the matrices S = U - Uᵀ, ``[*, b, b]``, of packed upper triangles ``[*, b(b-1)/2]``.

    Raises:
        ValueError: the last dimension is not of the form b(b-1)/2.
    """
    return _SkewFromPacked.apply(packed)


def scale_packed(
    packed: Float[Tensor, "*blocks entries"], factor: Float[Tensor, "*blocks 1"] | float
) -> Float[Tensor, "*blocks entries"]:
    """Return packed parameters ``[*, b(b-1)/2]`` times constants, one for all or ``[*, 1]``.

    A block whose factor is zero is the identity; any factor leaves rotations rotations.
    """
    return _ScalePacked.apply(packed, factor)


def parameter_scale(block_size: int, scale: ParameterScale) -> float:
    """Return c of S = c P for blocks of ``block_size``, where P is what an optimizer steps.

    ``none``: 1. ``block_size``: 32 / b, so that one learning rate does for every block size.

    Adam moves every entry of P by about the learning rate η, whatever the size of its gradient, and S by
    δ = c η with signs σ. As R = I - 2 S + O(S²), coordinate i of an activation x then moves by
    2 δ |Σⱼ σᵢⱼ xⱼ|, over the b - 1 others of its block. Signs of pure noise would let that grow as δ √b; the
    signs of a gradient, a sum of products with x itself, agree with those of x and let it grow as δ b. Their
    limit is a block of equal signs, which turns by ‖2 S‖₂ = 2 δ cot(π / 2b), for all b near 4 δ b / π. So c
    falls as 1 / b, as Adam's rate does with the width of a hidden layer under μP (Yang et al., "Tensor
    Programs V", arXiv 2203.03466). docs/learning-rates.md has the measurements.
    """
    return 1.0 if scale == "none" else REFERENCE_BLOCK_SIZE / block_size


def unscale_packed(
    packed: Float[Tensor, "*blocks entries"], factor: float
) -> Float[Tensor, "*blocks entries"]:
    """Return what ``scale_packed`` makes ``packed`` of, to the bit where that is possible; float32 at least.

    A saved adapter that is loaded and saved again so gives the same bytes.
    """
    packed = packed.to(torch.promote_types(packed.dtype, torch.float32))
    # The product took the factor in its own type and was rounded, as the quotient is: either neighbour of it
    # may be what the product was made of.
    quotient = (packed.double() / packed.new_tensor(factor).double()).to(packed.dtype)
    for limit in (-math.inf, math.inf):
        neighbour = torch.nextafter(quotient, torch.full_like(quotient, limit))
        meant = (quotient * factor != packed) & (neighbour * factor == packed)
        quotient = torch.where(meant, neighbour, quotient)
    return quotient


def packed_from_skew(skew: Float[Tensor, "*blocks b b"]) -> Float[Tensor, "*blocks entries"]:
    """Return the packed upper triangles ``[*, b(b-1)/2]`` of skew-symmetric matrices ``[*, b, b]``."""
    rows, columns = torch.triu_indices(skew.shape[-1], skew.shape[-1], 1, device=skew.device)
    return skew.flatten(-2).index_select(-1, rows * skew.shape[-1] + columns)


def cayley(skew: Float[Tensor, "*blocks b b"]) -> Float[Tensor, "*blocks b b"]:
    """Return R = (I - S)(I + S)⁻¹ for skew-symmetric S, ``[*, b, b]`` to ``[*, b, b]``.

    S must be skew-symmetric: the result for any other matrix is meaningless. The result is float32 at least.
    On the CPU it is computed in float64, elsewhere in float32 and one Newton-Schulz step towards the nearest
    orthogonal matrix; max|R Rᵀ - I| stays below 1e-6 either way (in float32, while the entries of S are
    around 1 or less).

    The gradient needs R alone: (I + S)⁻¹ = (I + R) / 2, so dR = -½ (I + R) dS (I + R).
    """
    return _Cayley.apply(skew, None)


def rotate_input(
    x: Float[Tensor, "*batch in_features"], rotations: Float[Tensor, "blocks b b"]
) -> Float[Tensor, "*batch in_features"]:
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


def rotate_weight(
    weight: Float[Tensor, "out in_group"], rotations: Float[Tensor, "blocks b b"], groups: int = 1
) -> Float[Tensor, "out in_group"]:
    """Return W' = W Rᵀ, ``[out, in / groups]``, for rotations as in ``rotate_input``; the weight keeps its
    type.

    With ``groups`` (a grouped convolution's) the rows and the blocks fall into as many equal parts, and each
    part of the rows is turned by its own part of the blocks. The product is taken in the more precise of the
    two types: a half-precision weight is rotated in float32.

    Raises:
        ValueError: the blocks do not make up the weight's input, or straddle its groups.
    """
    precise = torch.promote_types(weight.dtype, rotations.dtype)
    if groups == 1 or rotations.shape[0] == 1:
        return rotate_input(weight.to(precise), rotations.mT).to(weight.dtype)
    if rotations.shape[0] % groups:
        raise ValueError(f"{rotations.shape[0]} blocks do not fall into {groups} groups")
    parts = zip(weight.to(precise).chunk(groups), rotations.mT.chunk(groups), strict=True)
    return torch.cat([rotate_input(rows, blocks) for rows, blocks in parts]).to(weight.dtype)


def compose_rotations(
    first: Float[Tensor, "blocks1 b1 b1"], second: Float[Tensor, "blocks2 b2 b2"], in_features: int
) -> Float[Tensor, "blocks b b"]:
    """Return the rotations of a weight turned by ``first`` and then by ``second``: W R₁ᵀ R₂ᵀ = W (R₂ R₁)ᵀ.

    The blocks may differ in size; the result's have the least common multiple of the two sizes.

    Raises:
        ValueError: either does not make up ``in_features``.
    """
    if first.shape == second.shape:
        return second @ first
    size = math.lcm(first.shape[-1], second.shape[-1])
    return _with_block_size(second, size, in_features) @ _with_block_size(first, size, in_features)


def rotation_gradient(
    x: Float[Tensor, "*batch in_features"],
    grad: Float[Tensor, "*batch in_features"],
    like: Float[Tensor, "blocks b b"],
) -> Float[Tensor, "blocks b b"]:
    """Return dL/dR for z = x R, given x and dL/dz, both ``[*, in]``: xᵢᵀ dzᵢ for each block i.

    Shape and type are those of ``like``, the rotations; a block shared by all gathers their sum.
    """
    x_by_block = x.reshape(-1, like.shape[0], like.shape[-1])
    grad_by_block = grad.reshape(x_by_block.shape)
    return torch.bmm(x_by_block.permute(1, 2, 0), grad_by_block.transpose(0, 1)).to(like.dtype)


@torch.no_grad()
def orthogonality_error(rotations: Float[Tensor, "*blocks b b"]) -> float:
    """Return max|R Rᵀ - I| over all blocks of ``[*, b, b]``, measured in float64."""
    exact = rotations.double()
    gram = exact @ exact.mT
    gram.diagonal(dim1=-2, dim2=-1).sub_(1)
    return gram.abs().max().item()


def coft_bound(
    eps: float, block_size: int, num_blocks: int, shared: bool, convention: EpsConvention = "reference"
) -> float:
    """Return the largest Frobenius norm constrained finetuning (COFT) allows a block's S.

    ``reference``: eps b² / √r, or eps b² where one block is shared, as in the paper's implementation. Its
    parameter, unlike the packed one, is a full matrix halved to S = (P - Pᵀ) / 2, but P stays skew-symmetric
    under training from zero, so its norm is that of S and the bound means the same here. ``peft``: the same
    without b²; an eps of PEFT's is b² times as tight as the reference's.
    """
    scale = float(block_size**2) if convention == "reference" else 1.0
    return eps * scale / (1.0 if shared else math.sqrt(num_blocks))


@torch.no_grad()
def skew_norm(packed: Float[Tensor, "*blocks entries"]) -> Float[Tensor, "*blocks"]:
    """Return the Frobenius norms of S, ``[*]``: √2 times those of the packed entries ``[*, b(b-1)/2]``."""
    return math.sqrt(2.0) * torch.linalg.vector_norm(packed, dim=-1)


@torch.no_grad()
def project_skew(packed: Float[Tensor, "*blocks entries"], bound: float) -> Float[Tensor, "*blocks entries"]:
    """Return packed parameters whose blocks lie in the ball of Frobenius norm ``bound`` around zero.

    Blocks inside are returned as they are, others are scaled onto its surface (COFT, arXiv 2306.07280).
    """
    norm = skew_norm(packed).unsqueeze(-1)
    return torch.where(norm <= bound, packed, packed * (bound / norm))


@contextmanager
def in_full_precision(device: torch.device) -> Iterator[None]:
    """Neither autocast nor TF32 lowers the precision of products on ``device``."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with without_autocast(device):
            yield
    finally:
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = allowed


def without_autocast(device: torch.device) -> torch.autocast:
    """Return a context in which autocast does not lower the precision of products on ``device``."""
    return torch.autocast(device.type, enabled=False)


def _with_block_size(rotations: Tensor, size: int, in_features: int) -> Tensor:
    """Return the same rotation in blocks of ``size``, a multiple of their own: ``[in / size, *, *]``."""
    num_blocks, block_size = rotations.shape[0], rotations.shape[-1]
    if in_features % size or num_blocks not in (1, in_features // block_size):
        raise ValueError(f"{num_blocks} blocks of {block_size} do not make up {in_features} features")
    rotations = rotations.expand(in_features // block_size, -1, -1)
    merged = size // block_size
    if merged == 1:
        return rotations
    wide = rotations.new_zeros(in_features // size, merged, block_size, merged, block_size)
    diagonal = torch.arange(merged, device=rotations.device)
    # Two advanced indices apart put their dimension first.
    wide[:, diagonal, :, diagonal, :] = rotations.unflatten(0, (-1, merged)).transpose(0, 1)
    return wide.reshape(-1, size, size)


class _ScalePacked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed: Tensor, factor: Tensor | float) -> Tensor:
        ctx.factor = factor
        return packed * factor

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


class _SkewFromPacked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed: Tensor) -> Tensor:
        size = block_size_of(packed)
        index = torch.arange(size, device=packed.device)
        low, high = torch.minimum(index[:, None], index), torch.maximum(index[:, None], index)
        # Where entry (low, high) stands in the packed triangle; the diagonal, which is zero, takes the first.
        source = (low * (2 * size - low - 1) // 2 + high - low - 1).clamp_min(0).flatten()
        sign = (index - index[:, None]).sign().to(packed.dtype)
        return packed.index_select(-1, source).unflatten(-1, (size, size)) * sign

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return packed_from_skew(grad - grad.mT)


class _Place(torch.autograd.Function):
    """Zeros that take no memory, in the place of another tensor in its graph: their gradient is its own."""

    @staticmethod
    def forward(ctx: Any, other: Tensor) -> Tensor:
        return other.new_zeros(()).expand(other.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class _Cayley(torch.autograd.Function):
    """R of S; of what only stands in the place of S where R is known."""

    @staticmethod
    def forward(ctx: Any, skew: Tensor, known: Tensor | None) -> Tensor:
        if known is None:
            working_dtype = torch.float64 if skew.device.type == "cpu" else torch.float32
            with in_full_precision(skew.device):
                rotations = _cayley(skew, torch.promote_types(skew.dtype, working_dtype))
            if ctx.needs_input_grad[0]:
                with torch.enable_grad():
                    skew = _Place.apply(skew)  # S itself need not be kept
        else:
            rotations = known.view_as(known)
        ctx.place, ctx.rotations = skew, rotations.detach()
        return rotations

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # dR = -½ (I + R) dS (I + R), so <G, dR> = <-½ (I + R)ᵀ G (I + R)ᵀ, dS>.
        rotations = ctx.rotations
        if torch.is_grad_enabled():  # the gradient is to have one itself, and R to count as a function of S
            rotations = _Cayley.apply(ctx.place, rotations)
        with in_full_precision(grad.device):
            factor = rotations.mT.clone()
            factor.diagonal(dim1=-2, dim2=-1).add_(1.0)
            return (factor @ grad @ factor).mul_(-0.5).to(ctx.place.dtype), None


def _cayley(skew: Float[Tensor, "*blocks b b"], working_dtype: torch.dtype) -> Float[Tensor, "*blocks b b"]:
    # R = (I - S)(I + S)⁻¹ = 2 (I + S)⁻¹ - I, exactly I for S = 0. In place where a copy would cost another
    # pass over memory, which is what limits all but the products.
    size = skew.shape[-1]
    matrix = skew.reshape(-1, size, size).to(working_dtype, copy=True)
    matrix.diagonal(dim1=-2, dim2=-1).add_(1.0)
    rotations = _inverse(matrix).mul_(2.0)
    rotations.diagonal(dim1=-2, dim2=-1).sub_(1.0)
    if working_dtype == torch.float32:
        # R + ½ R (I - RᵀR), a Newton-Schulz step.
        rotations = torch.baddbmm(rotations, rotations, rotations.mT @ rotations, beta=1.5, alpha=-0.5)
    return rotations.to(torch.promote_types(skew.dtype, torch.float32)).view(skew.shape)


def _inverse(matrix: Float[Tensor, "n b b"]) -> Float[Tensor, "n b b"]:
    """Return the inverse of ``[n, b, b]`` whose symmetric part is positive definite, as that of I + S is.

    Elimination by halves: 2 b³ operations like any other inversion, but all in batched products, which run at
    several times the speed of batched factorisations. Such a matrix needs no pivoting, for its leading blocks
    and their Schur complements are of the same kind (Golub & Van Loan, Matrix Computations, 4.2).
    """
    size = matrix.shape[-1]
    if size <= LEAF_SIZE:
        return torch.linalg.inv_ex(matrix).inverse
    half = size // 2
    a, b = matrix[:, :half, :half], matrix[:, :half, half:]
    c, d = matrix[:, half:, :half], matrix[:, half:, half:]
    a_inverse = _inverse(a)
    ab = a_inverse @ b
    lower_right = _inverse(torch.baddbmm(d, c, ab, alpha=-1.0))
    lower_left = torch.bmm(lower_right, c @ a_inverse).neg_()
    result = torch.empty_like(matrix)
    result[:, :half, :half] = torch.baddbmm(a_inverse, ab, lower_left, alpha=-1.0)
    torch.neg(ab @ lower_right, out=result[:, :half, half:])
    result[:, half:, :half] = lower_left
    result[:, half:, half:] = lower_right
    return result
