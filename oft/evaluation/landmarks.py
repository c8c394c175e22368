"""Landmarks: a judge's 68 points of generated faces against the points they were made from.

The release of OFT averages the distance over the faces that its detector finds and says nothing of the others
(and compares every picture with the first ground truth); here each picture has its own truth, and what share
of pictures no face was found in stands beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.errors import DataError
from oft.evaluation.checks import check_pictures, check_same_shape
from oft.evaluation.measure import Compared, Measurements, beside_generated
from oft.evaluation.metric import Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float64, UInt8
    from numpy.typing import NDArray
    from torch import Tensor

    from oft.evaluation.features import Judge
    from oft.evaluation.task import EvaluatedTask
    from oft.settings.evaluation import Evaluation

REFERENCE_SIDE_PX = 512
"""Errors in pixels are those of pictures of this side, as in arXiv 2306.07280."""
OUTER_EYE_CORNERS = (36, 45)
MAX_NME = 0.1
"""Where the curve of errors ends whose area is ``landmark_auc``: worse pictures count as failures."""


def extract_landmarks(
    pictures: UInt8[np.ndarray, "n height width 3"], judge: Judge, batch_size: int
) -> tuple[Float64[np.ndarray, "n 68 2"], Bool[np.ndarray, " n"]]:
    """Return where the judge sees each point, x and y in pixels, and in which pictures it sees a face.

    A point lies at the mean of its map's softmax (integral regression, Sun et al. 2018); there is a face
    where the mean of the last map is above 0. Where there is none the points mean nothing.

    Args:
        judge: from `oft.evaluation.features.load_landmark_judge`.

    Raises:
        DataError: ``pictures`` is not a uint8 RGB stack.
    """
    import torch

    from oft.evaluation.preprocessing import prepare_batches

    check_pictures(pictures)
    points, found = [], []
    with torch.inference_mode():
        for batch in prepare_batches(pictures, judge.preprocessing, batch_size, judge.model.device):
            logits = judge.model(pixel_values=batch).logits
            points.append(locate_points(logits[:, :-1]).double().cpu().numpy())
            found.append((logits[:, -1].mean(dim=(1, 2)) > 0).cpu().numpy())
    size = np.array(pictures.shape[2:0:-1])
    # Centres of pixels lie at whole numbers.
    return np.concatenate(points) * size - 0.5, np.concatenate(found)


def locate_points(logits: Float[Tensor, "n points rows columns"]) -> Float[Tensor, "n points 2"]:
    """Return the mean place of each map's softmax: x and y as shares of width and height."""
    import torch

    rows, columns = logits.shape[2:]
    weights = logits.flatten(2).softmax(dim=2).unflatten(2, (rows, columns))
    across = (torch.arange(columns, device=logits.device) + 0.5) / columns
    down = (torch.arange(rows, device=logits.device) + 0.5) / rows
    return torch.stack([weights.sum(dim=2) @ across, weights.sum(dim=3) @ down], dim=2)


def score_landmarks(
    predicted: Float64[np.ndarray, "n 68 2"],
    truth: Float64[np.ndarray, "n 68 2"],
    found: Bool[np.ndarray, " n"],
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Return each picture's mean distance over its points, pixels, and the same by the true eyes' distance.

    The second is the normalised mean error (NME) with the distance of the outer eye corners, as in the 300-W
    challenge (Sagonas et al. 2013). Where no face was found both are NaN.

    Raises:
        DataError: shapes differ, or the true eye corners of a face coincide.
    """
    check_same_shape("predicted", predicted, "true landmarks", truth)
    left, right = OUTER_EYE_CORNERS
    between_eyes = np.linalg.norm(truth[:, right] - truth[:, left], axis=1)
    if not between_eyes.all():
        raise DataError(
            f"the true outer eye corners (points {left} and {right}) of face {int(np.argmin(between_eyes))} "
            "coincide, so its error has no scale; mark it anew or take it out"
        )
    error = np.where(found, np.linalg.norm(predicted - truth, axis=2).mean(axis=1), np.nan)
    return error, error / between_eyes


def compute_landmarks(
    error_px: Float64[np.ndarray, " n"], nme: Float64[np.ndarray, " n"]
) -> dict[str, float]:
    """Return the means over pictures with a face, the share of those without, and the area under the curve.

    ``landmark_auc`` is the area under the curve of the share of pictures whose NME is at most e, for e from 0
    to `MAX_NME`, divided by `MAX_NME`; a picture without a face is a failure at every e. Means are NaN where
    no picture has a face.
    """
    seen = ~np.isnan(nme)
    return {
        "landmark_auc": float(score_auc(nme).mean()),
        "landmark_nme": float(nme[seen].mean()) if seen.any() else float("nan"),
        "landmark_error_px": float(error_px[seen].mean()) if seen.any() else float("nan"),
        "landmark_failure_rate": float(1 - seen.mean()),
    }


def score_auc(nme: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Return what each picture adds to `compute_landmarks`'s area, 0 to 1; its mean is the area."""
    return np.nan_to_num((MAX_NME - nme).clip(min=0) / MAX_NME, nan=0.0)


def measure_landmarks(
    compared: Compared,
    landmarks: NDArray[np.float64],
    judge: Judge,
    settings: Evaluation,
    measured: Measurements,
) -> None:
    """Add the error of the judge's points against the true ones [n, 68, 2], and each picture's."""
    for suffix, (pictures, sources) in compared.items():
        predicted, found = extract_landmarks(pictures, judge, settings.batch_size)
        error, nme = score_landmarks(predicted, landmarks[sources], found)
        error *= REFERENCE_SIDE_PX / pictures.shape[1]
        measured.add(compute_landmarks(error, nme), suffix)
        for name, scores in (("landmark_auc", score_auc(nme)), ("landmark_nme", nme)):
            measured.scores[f"{name}{suffix}"] = beside_generated(compared, suffix, scores.tolist())


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    measure_landmarks(task.compared, task.landmarks, task.judges.landmarks, task.settings, measured)


FAMILY = MetricFamily(
    metrics=(
        Metric(
            "landmark_auc",
            "Landmark curve",
            "A judge network finds 68 points in the generated face. The area under the curve of the share of "
            "pictures whose normalised error is below a bound, for bounds from 0 to 0.1; a picture without a "
            "face is never below. 1 is perfect.",
            direction="higher",
            unit="share",
            per_picture=True,
            judge="landmarks",
        ),
        Metric(
            "landmark_nme",
            "Landmark error (NME)",
            "The mean distance of the found points from those asked for, divided by the distance of the "
            "outer eye corners, over the pictures in which the judge sees a face.",
            direction="lower",
            unit="eye distances",
            per_picture=True,
            judge="landmarks",
        ),
        Metric(
            "landmark_error_px",
            "Landmark error at 512 px",
            "The same distance in pixels of a picture of 512 px, whatever the run's size is.",
            direction="lower",
            unit="px at 512",
            judge="landmarks",
        ),
        Metric(
            "landmark_failure_rate",
            "Pictures without a face",
            "The share of pictures in which the judge sees no face; the two errors leave them out.",
            direction="lower",
            unit="share",
            judge="landmarks",
        ),
    ),
    measure=_measure,
    conditions=("landmarks",),
    headline=("landmark_auc", "landmark_nme"),
)
