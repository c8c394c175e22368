"""The results of evaluating a task: flat metrics, a score for each picture, rows for plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from oft.evaluation.class_pixels import to_json
from oft.evaluation.metric import REAL, RECONSTRUCTION, class_pixels_key

Pictures = NDArray[np.uint8]
Value = TypeVar("Value")


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
        scores: by name, one for each picture; NaN where it does not exist. With the suffix `REAL` or
            `RECONSTRUCTION` the name is that of what its source scores, as it is or through the autoencoder:
            beside each picture stands what it is compared with.
        class_pixels: by suffix, the pixels of each picture counted by class, `oft.evaluation.class_pixels`.
        confusion: rows of the confusion plot.
        requests: key and repeat of the picture that each score belongs to.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    class_pixels: dict[str, list[NDArray[np.int64]]] = field(default_factory=dict)
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

    def class_pixel_rows(self) -> list[dict[str, Any]]:
        """Return one row a picture: the pixels of the classes in it, and of those in its source."""
        return [
            {
                "key": key,
                "index": repeat,
                **{
                    class_pixels_key(suffix): to_json(pixels[row])
                    for suffix, pixels in self.class_pixels.items()
                },
            }
            for row, (key, repeat) in enumerate(self.requests)
            if self.class_pixels
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

    def add_reference_scores(
        self, name: str, suffix: str, scores: NDArray[np.float64], sources: NDArray[np.int64]
    ) -> None:
        """Add what the real pictures score under a suffix: the mean, and beside each picture its source's.

        Args:
            scores: one for each real picture.
            sources: for each generated picture, the index of its real one.
        """
        self.scores[f"{name}{suffix}"] = scores[sources].tolist()
        self.metrics[f"{name}{suffix}"] = float(scores.mean())


# The pictures that a metric is taken on beside the generated ones: the real ones, and the real ones through
# the base's autoencoder, which is as near to them as anything drawn with that base can come.
Compared = dict[str, tuple[Pictures, NDArray[np.int64]]]


def compared_pictures(generated: Generated, real: Pictures, reconstructed: Pictures) -> Compared:
    """Return pictures and their sources by the suffix of their metrics."""
    all_indices = np.arange(len(real))
    return {
        "": (generated.pictures, generated.sources),
        REAL: (real, all_indices),
        RECONSTRUCTION: (reconstructed, all_indices),
    }


def beside_generated(compared: Compared, suffix: str, values: Sequence[Value]) -> list[Value]:
    """Return for each generated picture its own value, or under a suffix that of its source."""
    return [values[source] for source in compared[""][1]] if suffix else list(values)


def _round(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.8g}")
