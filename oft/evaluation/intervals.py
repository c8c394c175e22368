"""How sure a figure over conditions is: paired bootstrap intervals.

Pictures of one condition (or prompt) resemble each other, so conditions are resampled, not pictures, and all
models that a figure compares are resampled together. What several trainings add to it, `experiments.paired`
says.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oft.evaluation.metric import BOUNDS

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Shaped

CONFIDENCE = 0.95
NUM_RESAMPLES = 9999

# Scores are kept to eight digits; BCa divides by their spread.
ROUNDING = 1e-9
# Resampled values at a time: 80 MB of them.
BATCH_VALUES = 10_000_000

Picture = tuple[str, int]
"""Key of a picture's condition or prompt, and which repeat of it."""

Figure = Callable[[Any], Any]
"""A figure over n conditions: from how often each counts, ``[draws, n]``, to its value ``[draws]``."""


class Interval(NamedTuple):
    """A figure and the interval it lies in."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low > 0 or self.high < 0

    def as_metrics(self, name: str) -> dict[str, float]:
        """Return the value under a metric's name and its bounds beside it, as ``metrics.json`` has them."""
        return {name: self.value, **dict(zip((f"{name}{end}" for end in BOUNDS), self[1:], strict=True))}


def average_by_condition(
    models: Sequence[Mapping[Picture, Any]],
) -> tuple[list[str], list[NDArray[np.float64]]]:
    """Return the conditions of the pictures that all models have, and for each model its mean over them.

    Args:
        models: of each model a score, or counts, by picture.

    Returns:
        Keys, sorted, and for each model an array ``[conditions, ...]`` in their order.
    """
    shared = set.intersection(*(set(scores) for scores in models)) if models else set()
    groups: dict[str, list[Picture]] = {}
    for picture in sorted(shared):
        groups.setdefault(picture[0], []).append(picture)
    return list(groups), [
        np.array([np.mean([scores[p] for p in group], axis=0) for group in groups.values()], np.float64)
        for scores in models
    ]


def pair_models(
    models: Mapping[str, Mapping[Picture, Any]], formula: Figure | None = None
) -> tuple[list[str], dict[str, Figure]]:
    """Return the conditions of the pictures that all models have, and the figure of each model over them.

    Args:
        models: of each model by picture a score; with a formula its pixels by class id, as in
            ``class_pixels.json``.
        formula: what is made of the pixels of all pictures together; None takes the mean of scores.
    """
    if formula is None:
        keys, values = average_by_condition(list(models.values()))
        make: Callable[[Any], Figure] = mean_of
    else:
        keys, values = average_by_condition(_to_arrays(list(models.values())))
        make = partial(pooled, formula)
    return keys, {name: make(of_model) for name, of_model in zip(models, values, strict=True)}


def _to_arrays(
    models: Sequence[Mapping[Picture, Mapping[int, Sequence[int]]]],
) -> list[dict[Picture, NDArray[np.float64]]]:
    """Return pixels by class as arrays [classes, 3]: id 0, which formulas may leave out, then the others."""
    occurring = {index for pictures in models for counts in pictures.values() for index in counts}
    places = {index: place for place, index in enumerate(sorted({0, *occurring}))}

    def to_array(counts: Mapping[int, Sequence[int]]) -> NDArray[np.float64]:
        array = np.zeros((len(places), 3))
        for index, numbers in counts.items():
            array[places[index]] = numbers
        return array

    return [{picture: to_array(counts) for picture, counts in pictures.items()} for pictures in models]


def constant(value: float) -> Figure:
    """Return the figure that is one number whichever conditions are drawn."""
    return lambda counts: np.full(len(counts), value)


def mean_of(values: Float64[np.ndarray, " n"]) -> Figure:
    """Return the figure that is the mean of one value a condition."""

    def mean(counts: Shaped[np.ndarray, "draws n"]) -> Float64[np.ndarray, " draws"]:
        return counts @ values / counts.sum(axis=1)

    return mean


def pooled(formula: Figure, pixels: Float64[np.ndarray, "n classes 3"]) -> Figure:
    """Return the figure that is a formula of the pixels of all pictures together."""

    def of_all(counts: Shaped[np.ndarray, "draws n"]) -> Float64[np.ndarray, " draws"]:
        summed = counts.astype(np.float64) @ pixels.reshape(len(pixels), -1)
        values: Float64[np.ndarray, " draws"] = formula(summed.reshape(-1, *pixels.shape[1:]))
        return values

    return of_all


def difference_of(figure: Figure, other: Figure) -> Figure:
    """Return the figure ``figure - other`` of the same conditions."""
    return lambda counts: figure(counts) - other(counts)


def closed_share(figure: Figure, start: Figure, end: Figure) -> Figure:
    """Return the share of the distance from ``start`` to ``end`` that a figure of the same conditions closes.

    It is (figure - start) / (end - start), whichever direction is better: 0 at the start, 1 at the end.
    """
    return lambda counts: (figure(counts) - start(counts)) / (end(counts) - start(counts))


def bootstrap_interval(
    figure: Figure,
    num_conditions: int,
    rng: np.random.Generator,
    *,
    level: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """Return a figure over all conditions and its interval at confidence ``level``: BCa (Efron 1987).

    Where every resample gives the same figure, but for rounding, it is a point. Where BCa is not defined (all
    resamples on one side of the figure) the interval is that of the resamples' percentiles.
    """
    from scipy.stats import bootstrap

    def statistic(indices: Int64[np.ndarray, "*draws k"], axis: int = -1) -> Any:
        draws = indices.reshape(-1, indices.shape[-1])
        return figure(count_draws(draws, num_conditions)).reshape(indices.shape[:-1])

    with warnings.catch_warnings():
        # Without spread BCa divides by zero; what becomes of that is decided below.
        warnings.simplefilter("ignore", RuntimeWarning)
        value = float(figure(np.ones((1, num_conditions), np.int64))[0])
        found = bootstrap(
            (np.arange(num_conditions),),
            statistic,
            confidence_level=level,
            n_resamples=num_resamples,
            batch=max(1, BATCH_VALUES // num_conditions),
            vectorized=True,
            method="BCa",
            rng=rng,
        )
        resampled = found.bootstrap_distribution
        if np.ptp(resampled) <= ROUNDING:
            return Interval(value, value, value)
        low, high = found.confidence_interval
        if not np.isfinite([low, high]).all():
            low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def mean_interval(values: Float64[np.ndarray, " seeds"], level: float = CONFIDENCE) -> Interval | None:
    """Return the mean of a few independent values with Student's interval; None for one value."""
    from scipy.stats import t

    if len(values) < 2:
        return None
    mean = float(values.mean())
    half = float(t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def count_draws(indices: Int64[np.ndarray, "draws k"], num_conditions: int) -> Int64[np.ndarray, "draws n"]:
    """How often each condition is drawn, a row a draw."""
    offsets = np.arange(len(indices))[:, None] * num_conditions
    counts = np.bincount((indices + offsets).ravel(), minlength=len(indices) * num_conditions)
    return counts.reshape(len(indices), num_conditions)
