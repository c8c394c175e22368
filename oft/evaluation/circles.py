"""fill50k's circles: whether a picture has the circle that its outline asks for, in the real one's colours.

No network judges: a picture of fill50k is two colours and where they meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.errors import DataError
from oft.evaluation.checks import check_pictures, check_same_shape
from oft.evaluation.measure import Compared, Measurements, Pictures, beside_generated
from oft.evaluation.metric import Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Float64, UInt8

    from oft.evaluation.task import EvaluatedTask

MIN_OUTLINE_PIXELS = 8


def fill_outline(outline: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels within the circle that an outline (white on black) shows, cut off by the edge or not.

    Middle and radius are the least-squares fit of x^2 + y^2 + a x + b y + c = 0 to the pixels of the outline,
    each by its brightness (Kåsa 1976).

    Raises:
        DataError: too few pixels are lit to be an outline.
    """
    rows, columns = np.nonzero(outline)
    if len(rows) < MIN_OUTLINE_PIXELS:
        raise DataError(
            f"an outline of {len(rows)} pixels shows no circle; at least {MIN_OUTLINE_PIXELS} must be lit: "
            "give fill50k's outlines, white on black"
        )
    x, y = columns.astype(np.float64), rows.astype(np.float64)
    weights = np.sqrt(outline[rows, columns] / 255)
    equations = np.stack([x, y, np.ones_like(x)], axis=1) * weights[:, None]
    (a, b, c), *_ = np.linalg.lstsq(equations, -(x**2 + y**2) * weights, rcond=None)
    height, width = outline.shape
    square_distance = (np.arange(width) + a / 2) ** 2 + (np.arange(height)[:, None] + b / 2) ** 2
    return np.asarray(square_distance <= a**2 / 4 + b**2 / 4 - c)


def median_colours(
    pictures: Float32[np.ndarray, "n h w 3"], circles: Bool[np.ndarray, "n h w"]
) -> Float32[np.ndarray, "n 2 3"]:
    """Return the median colour of each picture within its circle and outside, channel by channel."""
    return np.stack(
        [
            [np.median(picture[circle], axis=0), np.median(picture[~circle], axis=0)]
            for picture, circle in zip(pictures, circles, strict=True)
        ]
    ).astype(np.float32)


def score_circles(
    pictures: UInt8[np.ndarray, "n h w 3"],
    real: UInt8[np.ndarray, "n h w 3"],
    circles: Bool[np.ndarray, "n h w"],
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Return each picture's IoU with its circle, and how far its two colours are from the real picture's.

    A pixel belongs to the circle where its colour is nearer to that of the real picture's circle than to that
    of its background. The colours' distance is the mean of two: between the median colours within the circle
    asked for, and outside. Distances are CIE 1976 differences (L*a*b*), of which about 2 can just be seen.

    Raises:
        DataError: shapes differ, or the arrays are no uint8 RGB stacks.
    """
    check_pictures(pictures)
    check_same_shape("generated", pictures, "real pictures", real)
    drawn, truth = _lab(pictures), median_colours(_lab(real), circles)
    distances = np.linalg.norm(drawn[:, None] - truth[:, :, None, None], axis=-1)
    found = distances[:, 0] < distances[:, 1]
    shared = (found & circles).sum(axis=(1, 2)).astype(np.float64)
    colour_error = np.linalg.norm(median_colours(drawn, circles) - truth, axis=-1).mean(axis=1)
    return shared / (found | circles).sum(axis=(1, 2)), colour_error.astype(np.float64)


def measure_circles(compared: Compared, outlines: Pictures, real: Pictures, measured: Measurements) -> None:
    """Add the circles' IoU and the colours' distance, and each picture's; ``outlines`` are [n, h, w]."""
    circles = np.stack([fill_outline(outline) for outline in outlines])
    for suffix, (pictures, sources) in compared.items():
        iou, colour_error = score_circles(pictures, real[sources], circles[sources])
        measured.add(
            {"circle_iou": float(iou.mean()), "circle_colour_error": float(colour_error.mean())}, suffix
        )
        for name, scores in (("circle_iou", iou), ("circle_colour_error", colour_error)):
            measured.scores[f"{name}{suffix}"] = beside_generated(compared, suffix, scores.tolist())


def _lab(pictures: UInt8[np.ndarray, "n h w 3"]) -> Float32[np.ndarray, "n h w 3"]:
    import cv2

    return np.stack(
        [cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for picture in pictures]
    )


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    measure_circles(task.compared, task.conditioning_images[..., 0], task.real, measured)


FAMILY = MetricFamily(
    metrics=(
        Metric(
            "circle_iou",
            "Circle IoU",
            "Pixels nearer in colour to the real picture's circle than to its background make up the circle "
            "found; its overlap with the circle asked for. 1 is perfect.",
            direction="higher",
            unit="share",
            per_picture=True,
        ),
        Metric(
            "circle_colour_error",
            "Colour error",
            "The distance of the colours within the circle and around it from those of the real picture, "
            "which the prompt names (CIE 1976; about 2 can just be seen).",
            direction="lower",
            unit="ΔE",
            per_picture=True,
        ),
    ),
    measure=_measure,
    conditions=("circles",),
    headline=("circle_iou", "circle_colour_error"),
)
