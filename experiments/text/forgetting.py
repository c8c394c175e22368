"""What an encoder forgets while it learns to classify: similarities of documents it does not learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float


def similarity_moves(before: Float[Tensor, " pairs"], after: Float[Tensor, " pairs"]) -> dict[str, float]:
    """Return how the cosine similarities of pairs of documents have moved.

    ``similarity_spearman`` is the rank correlation of the two, 1 where their order is as it was;
    ``similarity_change`` the mean absolute difference, 0 where they are the same.
    """
    from scipy.stats import spearmanr

    return {
        "similarity_spearman": float(spearmanr(before.numpy(), after.numpy()).statistic),
        "similarity_change": float((after - before).abs().mean()),
    }


def energy_change(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Return the largest relative change of a layer's hyperspherical energy (arXiv 2306.07280, eq. 1)."""
    return max(abs(after[name] / energy - 1) for name, energy in before.items())
