"""Cosine similarities: of a picture and its prompt, and of generated and real pictures.

With the published networks as judges these are DreamBooth's CLIP-T, CLIP-I and DINO. Say which model made
the features: figures of different models are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oft.errors import DataError
from oft.evaluation.checks import check_features, check_same_shape, check_same_width
from oft.evaluation.measure import Generated, Measurements, Pictures
from oft.evaluation.metric import KINDS, REAL, RECONSTRUCTION, Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

    from oft.evaluation.task import EvaluatedTask


def score_text_image(
    text: Float[np.ndarray, "n d"], image: Float[np.ndarray, "n d"]
) -> Float64[np.ndarray, " n"]:
    """Return each picture's cosine with its own prompt, in -1..1. CLIP-T is their mean with CLIP's features.

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
    """Return each generated picture's mean cosine with all real ones, in -1..1.

    Their mean, that over all pairs, is CLIP-I with CLIP's features and DINO with DINO's.

    Ruiz et al. 2023 (DreamBooth), section 4.2.

    Raises:
        DataError: widths differ, a row is zero or not finite, or a side is empty.
    """
    generated, real = _unit_rows("generated", generated, 1), _unit_rows("real", real, 1)
    check_same_width("generated", generated, "real", real)
    scores: Float64[np.ndarray, " m"] = (generated @ real.T).mean(axis=1)
    return scores


def score_others(
    pictures: Float[np.ndarray, "n d"], real: Float[np.ndarray, "n d"]
) -> Float64[np.ndarray, " n"]:
    """Return each picture's mean cosine in -1..1 with the real pictures other than its own.

    Row i of both is the same picture, as it is or through an autoencoder: with ``real`` twice the mean is how
    alike different real pictures of a subject or a style are.

    Raises:
        DataError: shapes differ, fewer than two rows, or a row is zero or not finite.
    """
    check_same_shape("pictures", pictures, "real features", real)
    cosines = _unit_rows("pictures", pictures, 2) @ _unit_rows("real", real, 2).T
    scores: Float64[np.ndarray, " n"] = (cosines.sum(axis=1) - np.diagonal(cosines)) / (len(real) - 1)
    return scores


def compute_similarity_of_others(pictures: Float[np.ndarray, "n d"], real: Float[np.ndarray, "n d"]) -> float:
    """Return the mean of `score_others`: how alike different pictures of one thing are."""
    return float(score_others(pictures, real).mean())


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
    references: Mapping[str, Pictures] | None = None,
    real_prompts: Sequence[str] = (),
) -> None:
    """Add the mean cosine of each picture and its prompt, and of reference pictures and their captions.

    Each picture's own is its score.

    Args:
        references: by suffix, the real pictures as they are or through the autoencoder.
        real_prompts: a caption of each of them.
    """
    measured.add_scores("prompt_similarity", score_text_image(texts(prompts), images(generated.pictures)))
    for suffix, pictures in (references or {}).items():
        scores = score_text_image(texts(real_prompts), images(pictures))
        measured.add_reference_scores("prompt_similarity", suffix, scores, generated.sources)


def measure_subject(
    name: str,
    generated: Generated,
    real: Pictures,
    reconstructed: Pictures,
    extract: Callable[[Pictures], NDArray[np.float32]],
    measured: Measurements,
) -> None:
    """Add mean cosines to the subject's real pictures, each a score of every generated picture, too.

    Args:
        name: the metric's.
        reconstructed: the real pictures through the base's autoencoder.
        extract: makes the features.
    """
    truth = extract(real)
    measured.add_scores(name, score_pairwise(extract(generated.pictures), truth))
    measured.add({name: compute_similarity_of_others(truth, truth)}, REAL)
    measured.add({name: compute_similarity_of_others(extract(reconstructed), truth)}, RECONSTRUCTION)


def _measure_text(task: EvaluatedTask, measured: Measurements) -> None:
    measure_text(
        task.generated,
        task.prompts,
        task.judges.clip_images,
        task.judges.clip_texts,
        measured,
        {REAL: task.real, RECONSTRUCTION: task.reconstructed} if task.real_prompts else None,
        task.real_prompts or (),
    )


def _measure_subject(task: EvaluatedTask, measured: Measurements) -> None:
    pictures = task.generated, task.real, task.reconstructed
    measure_subject("subject_similarity", *pictures, task.judges.features, measured)


def _measure_subject_image_text(task: EvaluatedTask, measured: Measurements) -> None:
    pictures = task.generated, task.real, task.reconstructed
    measure_subject("subject_similarity_image_text", *pictures, task.judges.clip_images, measured)


TEXT_FAMILY = MetricFamily(
    metrics=(
        Metric(
            "prompt_similarity",
            "Similarity of picture and prompt",
            "How well picture and prompt fit: cosine of the features that an image-text model gives them, −1 "
            "to 1.",
            direction="higher",
            unit="cosine",
            per_picture=True,
            judge="clip",
            published="CLIP-T",
        ),
    ),
    measure=_measure_text,
    tasks=KINDS,
)

SUBJECT_FAMILY = MetricFamily(
    metrics=(
        Metric(
            "subject_similarity",
            "Likeness to the subject",
            "Mean cosine between generated pictures and the subject's own, by features that tell individual "
            "things apart, −1 to 1.",
            direction="higher",
            unit="cosine",
            per_picture=True,
            judge="extractor",
            published="DINO",
        ),
    ),
    measure=_measure_subject,
    tasks=("subject",),
    headline=("subject_similarity",),
)

SUBJECT_IMAGE_TEXT_FAMILY = MetricFamily(
    metrics=(
        Metric(
            "subject_similarity_image_text",
            "Likeness to the subject",
            "Mean cosine between generated pictures and the subject's own, by an image-text model's "
            "features, −1 to 1.",
            direction="higher",
            unit="cosine",
            per_picture=True,
            judge="clip",
            published="CLIP-I",
        ),
    ),
    measure=_measure_subject_image_text,
    tasks=("subject",),
    headline=("subject_similarity_image_text",),
)
