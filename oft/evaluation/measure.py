"""The results of evaluating a task: flat metrics, a score for each picture, rows for plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Generated:
    """Generated pictures and what each was made from.

    Attributes:
        pictures: uint8 [m, h, w, 3].
        sources: for each, the index of its real picture (tasks with a condition) or of its prompt (subjects).
        prompts: the prompt of each.
        requests: key and repeat of each: which sample (or prompt) it is of, and which repeat of that.
    """

    pictures: Pictures
    sources: NDArray[np.int64]
    prompts: list[str]
    requests: list[tuple[str, int]]


@dataclass
class Measurements:
    """Flat metrics, a score for each picture, and rows for plots.

    Attributes:
        metrics: the values of ``metrics.json``.
        scores: by name, one for each picture; NaN where it does not exist.
        confusion: rows of the confusion plot.
        requests: key and repeat of the picture that each score belongs to.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    confusion: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, int]] = field(default_factory=list)

    def score_rows(self) -> list[dict[str, Any]]:
        """Return one row a picture; a score that does not exist is null."""
        return [
            {
                "key": key,
                "index": repeat,
                **{name: _round(scores[row]) for name, scores in self.scores.items()},
            }
            for row, (key, repeat) in enumerate(self.requests)
            if self.scores
        ]

    def rounded(self) -> dict[str, Any]:
        """Return the metrics with floats to eight significant digits, NaN as null."""
        return {
            name: _round(value) if isinstance(value, float) else value for name, value in self.metrics.items()
        }

    def add(self, metrics: Mapping[str, float], suffix: str = "") -> None:
        """Add metrics under their names and a suffix."""
        self.metrics.update({f"{name}{suffix}": value for name, value in metrics.items()})

    def add_scores(self, name: str, scores: NDArray[np.float64]) -> None:
        """Add a score for each picture, and their mean as the metric."""
        self.scores[name] = scores.tolist()
        self.metrics[name] = float(scores.mean())


# The pictures that a metric is taken on beside the generated ones: the real ones, whose score is the ceiling,
# and the real ones through the base's autoencoder, which is as near to them as the base can draw.
Compared = dict[str, tuple[Pictures, NDArray[np.int64]]]


def compared_pictures(generated: Generated, real: Pictures, reconstructed: Pictures) -> Compared:
    """Return pictures and their sources by the suffix of their metrics."""
    all_indices = np.arange(len(real))
    return {
        "": (generated.pictures, generated.sources),
        "_ceiling": (real, all_indices),
        "_reconstruction": (reconstructed, all_indices),
    }


def score_accuracy(predicted: Pictures, truth: Pictures, counted: NDArray[np.bool_]) -> list[float]:
    """Return for each picture the share of its counted pixels that are right; NaN where none counts."""
    right = ((predicted == truth) & counted).sum(axis=(1, 2))
    total = counted.sum(axis=(1, 2))
    return [float(r / t) if t else float("nan") for r, t in zip(right, total, strict=True)]


def _round(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.8g}")
