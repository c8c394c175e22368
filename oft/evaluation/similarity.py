"""Cosine similarities: CLIP-T (picture and prompt), CLIP-I and DINO (generated and real pictures).

Say which model made the features: figures of different CLIP models are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oft.errors import DataError
from oft.evaluation.checks import check_features, check_same_shape, check_same_width
from oft.evaluation.measure import Generated, Measurements, Pictures
from oft.evaluation.metric import Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

    from oft.evaluation.task import EvaluatedTask


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


def measure_text(
    generated: Generated,
    prompts: Sequence[str],
    images: Callable[[Pictures], NDArray[np.float32]],
    texts: Callable[[Sequence[str]], NDArray[np.float32]],
    measured: Measurements,
    real: tuple[Pictures, Sequence[str]] | None = None,
) -> None:
    """Add CLIP-T: the mean cosine of each picture and its prompt, and of real pictures and their captions.

    Each generated picture's own is its score.
    """
    measured.add_scores("clip_t", score_text_image(texts(prompts), images(generated.pictures)))
    if real is not None:
        measured.add({"clip_t": float(score_text_image(texts(real[1]), images(real[0])).mean())}, "_ceiling")


def measure_subject(
    generated: Generated,
    real: Pictures,
    images: Callable[[Pictures], NDArray[np.float32]],
    features: Callable[[Pictures], NDArray[np.float32]],
    measured: Measurements,
) -> None:
    """Add CLIP-I and the DINO-like similarity: mean cosines to the subject's real pictures.

    Each is a score of every generated picture, too.
    """
    for name, extract in {"clip_i": images, "dino": features}.items():
        truth = extract(real)
        measured.add_scores(name, score_pairwise(extract(generated.pictures), truth))
        measured.add({name: compute_pairwise_ceiling(truth)}, "_ceiling")


def _measure_text(task: EvaluatedTask, measured: Measurements) -> None:
    measure_text(
        task.generated,
        task.prompts,
        task.judges.clip_images,
        task.judges.clip_texts,
        measured,
        real=(task.real, task.real_prompts) if task.real_prompts else None,
    )


def _measure_subject(task: EvaluatedTask, measured: Measurements) -> None:
    measure_subject(task.generated, task.real, task.judges.clip_images, task.judges.features, measured)


TEXT_FAMILY = MetricFamily(
    metrics=(
        Metric(
            "clip_t",
            "Picture and prompt (CLIP-T)",
            "How well picture and prompt fit: cosine of the features that an image-text model gives them, −1 "
            "to 1.",
            direction="higher",
            unit="cosine",
            per_picture=True,
        ),
    ),
    measure=_measure_text,
    tasks="any",
    judges=("clip",),
)

SUBJECT_FAMILY = MetricFamily(
    metrics=(
        Metric(
            "clip_i",
            "Likeness to the subject (CLIP-I)",
            "Mean cosine between generated pictures and the subject's own, by an image-text model's "
            "features, −1 to 1.",
            direction="higher",
            unit="cosine",
            per_picture=True,
        ),
        Metric(
            "dino",
            "Likeness to the subject (DINO)",
            "Mean cosine between generated pictures and the subject's own, by features that tell individual "
            "things apart, −1 to 1.",
            direction="higher",
            unit="cosine",
            per_picture=True,
        ),
    ),
    measure=_measure_subject,
    tasks="subject",
    judges=("clip", "extractor"),
    headline=("dino", "clip_i"),
)
