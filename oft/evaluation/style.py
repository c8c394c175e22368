"""Likeness to a style: whether pictures look like those of the style that were not trained on.

Pictures for captions of training pictures (seen prompts) and for captions of held-out ones (unseen prompts)
are judged apart, both by their likeness to the same held-out pictures: a style that was learned holds for
prompts that were not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.evaluation.measure import Measurements
from oft.evaluation.metric import REAL, RECONSTRUCTION, Metric, MetricFamily
from oft.evaluation.similarity import score_others, score_pairwise

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float64, Int

    from oft.evaluation.task import EvaluatedTask

UNSEEN_NAME, SEEN_NAME = "style_similarity_unseen", "style_similarity_seen"


def score_style(
    features: Float[np.ndarray, "n d"], real: Float[np.ndarray, "n d"], unseen: Bool[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Return each picture's mean cosine in -1..1 with the held-out real pictures other than its own.

    Args:
        features: of pictures that stand for the real ones row by row: they themselves, or autoencoded.
        real: of the real pictures.
        unseen: which of the real pictures are held out.
    """
    scores = np.empty(len(features))
    scores[unseen] = score_others(features[unseen], real[unseen])
    if not unseen.all():
        scores[~unseen] = score_pairwise(features[~unseen], real[unseen])
    return scores


def measure_style(
    drawn: Float[np.ndarray, "m d"],
    sources: Int[np.ndarray, " m"],
    real: Float[np.ndarray, "n d"],
    reconstructed: Float[np.ndarray, "n d"],
    unseen: Bool[np.ndarray, " n"],
    measured: Measurements,
) -> None:
    """Add the likeness to the held-out pictures, for seen and unseen prompts apart; arguments are features.

    Args:
        drawn: of the generated pictures.
        sources: for each of them, the index of the real picture whose caption it was drawn for.
        unseen: which of the real pictures are held out.
    """
    by_suffix = {
        "": score_pairwise(drawn, real[unseen]),
        REAL: score_style(real, real, unseen)[sources],
        RECONSTRUCTION: score_style(reconstructed, real, unseen)[sources],
    }
    for name, rows in ((UNSEEN_NAME, unseen[sources]), (SEEN_NAME, ~unseen[sources])):
        if rows.any():
            for suffix, scores in by_suffix.items():
                measured.scores[f"{name}{suffix}"] = np.where(rows, scores, np.nan).tolist()
                measured.metrics[f"{name}{suffix}"] = float(scores[rows].mean())


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    if task.unseen.sum() < 2:  # There is no likeness of one picture to others.
        return
    extract = task.judges.features
    measure_style(
        extract(task.generated.pictures),
        task.generated.sources,
        extract(task.real),
        extract(task.reconstructed),
        task.unseen,
        measured,
    )


def _likeness(name: str, prompts: str, meaning: str) -> Metric:
    return Metric(
        name,
        f"Likeness to the style, {prompts} prompts",
        f"Mean cosine between pictures drawn for {meaning} and the style's held-out pictures, by a network's "
        "features, −1 to 1.",
        direction="higher",
        unit="cosine",
        per_picture=True,
        judge="extractor",
    )


FAMILY = MetricFamily(
    metrics=(
        _likeness(UNSEEN_NAME, "unseen", "captions that were not trained on"),
        _likeness(SEEN_NAME, "seen", "captions of training pictures"),
    ),
    measure=_measure,
    tasks=("style",),
    headline=(UNSEEN_NAME, SEEN_NAME),
)
