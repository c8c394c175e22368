"""Cosine similarities: CLIP-T (picture and prompt), CLIP-I and DINO (generated and real pictures).

Say which model made the features: figures of different CLIP models are not comparable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.errors import DataError
from oft.evaluation.checks import check_features, check_same_shape, check_same_width

if TYPE_CHECKING:
    from jaxtyping import Float, Float64


def score_text_image(
    text: Float[np.ndarray, "n d"], image: Float[np.ndarray, "n d"]
) -> Float64[np.ndarray, " n"]:
    """Return CLIP-T of each picture, in -1..1: its cosine with its own prompt. CLIP-T is their mean.

    Ruiz et al. 2023 (DreamBooth), section 4.2; CLIPScore (Hessel et al. 2021) is 2.5 max(cosine, 0) instead.

    Raises:
        DataError: shapes differ, a row is zero or not finite, or there is no row.
    """
    check_same_shape("text", text, "image features", image)
    scores: Float64[np.ndarray, " n"] = (_unit_rows("text", text, 1) * _unit_rows("image", image, 1)).sum(
        axis=1
    )
    return scores


def score_pairwise(
    generated: Float[np.ndarray, "m d"], real: Float[np.ndarray, "n d"]
) -> Float64[np.ndarray, " m"]:
    """Return CLIP-I or DINO of each generated picture, in -1..1: its mean cosine with all real ones. Their
    mean, that over all pairs, is CLIP-I or DINO.

    Ruiz et al. 2023 (DreamBooth), section 4.2.

    Raises:
        DataError: widths differ, a row is zero or not finite, or a side is empty.
    """
    generated, real = _unit_rows("generated", generated, 1), _unit_rows("real", real, 1)
    check_same_width("generated", generated, "real", real)
    scores: Float64[np.ndarray, " m"] = (generated @ real.T).mean(axis=1)
    return scores


def compute_pairwise_ceiling(real: Float[np.ndarray, "n d"]) -> float:
    """Return the ceiling of CLIP-I or DINO in -1..1: the mean cosine over pairs of different real pictures.

    Raises:
        DataError: fewer than two rows, or a row is zero or not finite.
    """
    real = _unit_rows("real", real, 2)
    return float(((real @ real.T).sum() - len(real)) / (len(real) * (len(real) - 1)))


def _unit_rows(name: str, features: Float[np.ndarray, "n d"], at_least: int) -> Float64[np.ndarray, "n d"]:
    """Rows divided by their Euclidean norm."""
    features = check_features(name, features, at_least=at_least)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    if not norms.all():
        raise DataError(
            f"{name} features: row {int(np.argmin(norms))} is zero and has no direction; check the model's "
            "weights"
        )
    return features / norms
