"""The results of evaluating a task: flat metrics, a score for each picture, rows for plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
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


@dataclass(frozen=True)
class ClassCounts:
    """Pixels of one picture by class, for the classes that are in its true or its predicted map.

    Attributes:
        classes: their ids.
        hits: pixels that have the class in both maps.
        actual: pixels that have it in the true map.
        predicted: pixels that have it in the predicted map, where the true map counts.
    """

    classes: list[int]
    hits: list[int]
    actual: list[int]
    predicted: list[int]


COUNTED_PICTURES = {"": "generated", "_ceiling": "real", "_reconstruction": "reconstructed"}
"""What class counts are of, by the suffix of their metrics."""


@dataclass
class Measurements:
    """Flat metrics, a score for each picture, and rows for plots.

    Attributes:
        metrics: the values of ``metrics.json``.
        scores: by name, one for each picture; NaN where it does not exist.
        confusion: rows of the confusion plot.
        requests: key and repeat of the picture that each score belongs to.
        target_keys: key of each real picture; none for a subject, whose pictures are nobody's target.
        target_scores: by name and suffix, the scores of the real pictures and of these after the autoencoder;
            NaN where one does not exist.
        class_counts: by suffix, the pixels of each class in each picture (`ClassCounts`).
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    confusion: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, int]] = field(default_factory=list)
    target_keys: list[str] = field(default_factory=list)
    target_scores: dict[str, list[float]] = field(default_factory=dict)
    class_counts: dict[str, list[ClassCounts]] = field(default_factory=dict)

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

    def target_rows(self) -> list[dict[str, Any]]:
        """Return one row a real picture with its scores and those of its reconstruction, see `score_rows`."""
        return [
            {"key": key, **{name: _round(scores[row]) for name, scores in self.target_scores.items()}}
            for row, key in enumerate(self.target_keys)
            if self.target_scores
        ]

    def count_rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return, by what the pictures are, one row a picture with the pixels of each class it has.

        Metrics over one confusion matrix for all pictures cannot be resampled from scores of pictures; the
        sums of these rows give them for any choice of pictures.
        """
        of_targets = [(key, 0) for key in self.target_keys]
        return {
            COUNTED_PICTURES[suffix]: [
                {"key": key, "index": repeat, **asdict(counts)}
                for (key, repeat), counts in zip(
                    of_targets if suffix else self.requests, pictures, strict=True
                )
            ]
            for suffix, pictures in self.class_counts.items()
        }

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
