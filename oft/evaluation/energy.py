"""Hyperspherical energy: how evenly a layer's neurons are spread in direction, the quantity OFT preserves."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK_ROWS = 1024


@torch.no_grad()
def hyperspherical_energy(weight: Tensor) -> float:
    """Return HE(W) = Σ 1 / ‖ŵᵢ - ŵⱼ‖ over ordered pairs i != j of the rows of ``[out, in]`` at unit length.

    The neurons of a convolution are its filters, ``[out, in, height, width]``, each as one row. Computed in
    float64, ``CHUNK_ROWS`` rows at a time; infinite where two rows share a direction. Source: arXiv
    2306.07280 (hyperspherical energy).

    Raises:
        ValueError: a row is zero and has no direction.
    """
    rows = weight.detach().double().flatten(1)
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    if not (norms > 0).all():
        index = int((norms <= 0).flatten().nonzero()[0])
        raise ValueError(
            f"every neuron needs a direction, and row {index} of the weight is zero; leave it out"
        )
    rows = rows / norms
    energy = torch.zeros((), dtype=torch.float64, device=rows.device)
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = rows[start : start + CHUNK_ROWS]
        distances = (2.0 - 2.0 * chunk @ rows.T).clamp_min_(0.0).sqrt_()
        distances.diagonal(offset=start).fill_(torch.inf)
        energy += distances.reciprocal_().sum()
    return energy.item()
