"""How orthogonal the rotations are that this project and PEFT make from the same parameters, in float32."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.measuring import FAULTS, describe_fault
from benchmarks.variants import NEUMANN_TERMS
from oft.adapters.oft.rotation import block_size_of, cayley, skew_from_packed
from oft.progress import progress

BLOCK_SIZES = (16, 32, 80, 160, 320, 640)
STDS = (0.01, 0.02, 0.1, 0.5)
NUM_BLOCKS = 2

Array = npt.NDArray[np.float64]


def measure_accuracy(
    device: torch.device, block_sizes: tuple[int, ...] = BLOCK_SIZES, stds: tuple[float, ...] = STDS
) -> list[dict[str, Any]]:
    """Return, for every block size and standard deviation of the parameters, the errors of each computation.

    ``ours``, ``peft_exact`` and ``peft_neumann`` are max|R Rᵀ - I|; ``ours_deviation`` is the largest
    difference of our R from ``exact_cayley``. A computation that fails has its message instead.
    """
    settings = list(itertools.product(block_sizes, stds))
    rows = []
    with progress(total=len(settings), description="accuracy", unit="setting") as bar:
        for block_size, std in settings:
            errors = _measure_errors(draw_packed(block_size, std), device)
            rows.append({"block_size": block_size, "std": std, **errors})
            bar.advance()
    return rows


def draw_packed(block_size: int, std: float) -> Tensor:
    """Return packed parameters ``[NUM_BLOCKS, b(b-1)/2]`` from N(0, std²), the same for one block size."""
    generator = torch.Generator().manual_seed(block_size)
    return torch.randn(NUM_BLOCKS, block_size * (block_size - 1) // 2, generator=generator) * std


def exact_cayley(packed: Array, block_size: int) -> Array:
    """Return R = (I - S)(I + S)⁻¹ in float64 by NumPy's general solver, ``[r, b, b]``.

    Shares nothing with ``oft.adapters.oft.rotation`` but the definition of S: ``packed`` above the diagonal,
    row by row, its negative below.
    """
    rows, columns = np.triu_indices(block_size, 1)
    skew = np.zeros((len(packed), block_size, block_size))
    skew[:, rows, columns] = packed
    skew[:, columns, rows] = -packed
    identity = np.eye(block_size)
    # I - S and (I + S)⁻¹ commute, so the factor may stand on either side.
    return np.linalg.solve(identity + skew, identity - skew).astype(np.float64, copy=False)


def orthogonality_error(rotations: Array) -> float:
    """Return max|R Rᵀ - I| of ``[r, b, b]``, in float64."""
    gram = rotations @ rotations.swapaxes(-1, -2)
    return float(np.abs(gram - np.eye(rotations.shape[-1])).max())


def our_rotations(packed: Tensor) -> Array:
    """Return this project's rotations, ``[r, b, b]``."""
    return _float64(cayley(skew_from_packed(packed)))


def peft_rotations(packed: Tensor, block_size: int, neumann: bool) -> Array:
    """Return the rotations of PEFT's OFT, exact or by Neumann's series, ``[r, b, b]``."""
    from peft.tuners.oft.layer import OFTRotationModule

    count = len(packed)
    module = OFTRotationModule(
        count,
        packed.shape[1],
        block_size,
        count * block_size,
        use_cayley_neumann=neumann,
        num_cayley_neumann_terms=NEUMANN_TERMS,
    ).to(packed.device)
    with torch.no_grad():
        module.weight.copy_(packed)
        diagonal = _float64(module.get_weight())
    starts = range(0, count * block_size, block_size)
    return np.stack([diagonal[start : start + block_size, start : start + block_size] for start in starts])


def _measure_errors(packed: Tensor, device: torch.device) -> dict[str, float | str]:
    block_size = block_size_of(packed)
    on_device = packed.to(device)
    ours = our_rotations(on_device)
    errors: dict[str, float | str] = {
        "ours": orthogonality_error(ours),
        "ours_deviation": float(np.abs(ours - exact_cayley(packed.double().numpy(), block_size)).max()),
    }
    for key, neumann in (("peft_exact", False), ("peft_neumann", True)):
        try:
            errors[key] = orthogonality_error(peft_rotations(on_device, block_size, neumann))
        except FAULTS as fault:
            errors[key] = describe_fault(fault)
    return errors


def _float64(tensor: Tensor) -> Array:
    array: Array = tensor.detach().double().cpu().numpy()
    return array
