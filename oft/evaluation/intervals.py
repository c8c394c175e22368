"""How sure a figure over conditions is: paired bootstrap intervals.

Pictures of one condition (or prompt) resemble each other, so conditions are resampled, not pictures, and all
models that a figure compares are resampled together. The report, the gate of retraining and the experiment
``gains`` use this alone.

Over several seeds a resample draws seeds with replacement, then, for each drawn seed, conditions: the
hierarchical bootstrap of nested data (Davison and Hinkley 1997, Bootstrap Methods and their Application,
section 3.8). Where every seed has the same conditions one draw of them serves all seeds, or each would count
as often as there are seeds (Owen 2007, The Pigeonhole Bootstrap, arXiv 0712.1111). These intervals are
percentiles: BCa's acceleration is that of one level. With few seeds they err to the wide side where seeds
differ by their conditions alone (at three seeds a third wider than need be), and to the narrow side where
they differ by more than that: three trainings tell little of how trainings vary.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
        return figure(_count_draws(draws, num_conditions)).reshape(indices.shape[:-1])

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


@dataclass(frozen=True)
class SeedsFigure:
    """A figure over several seeds; those of the same resamples may be subtracted and divided.

    Attributes:
        value: its mean over the seeds; of a ratio the ratio of these means.
        by_seed: what it is for each seed.
        resampled: what it is in each resample.
    """

    value: float
    by_seed: Float64[np.ndarray, " seeds"]
    resampled: Float64[np.ndarray, " resamples"]

    def __sub__(self, other: SeedsFigure) -> SeedsFigure:
        """Return the paired difference."""
        by_seed, resampled = self.by_seed - other.by_seed, self.resampled - other.resampled
        return SeedsFigure(self.value - other.value, by_seed, resampled)

    def interval(self, level: float = CONFIDENCE) -> Interval:
        """Return the interval of the resamples' percentiles at confidence ``level``."""
        low, high = np.nanquantile(self.resampled, [(1 - level) / 2, (1 + level) / 2])
        return Interval(self.value, float(low), float(high))

    def ratio_to(self, other: SeedsFigure, level: float = CONFIDENCE) -> SeedsFigure | None:
        """Return the paired ratio; None where the interval of ``other`` holds 0.

        A ratio to what may be 0 can be any number. Seeds and resamples whose own denominator is 0 are NaN.
        """
        if not other.interval(level).excludes_zero:
            return None
        by_seed, resampled = (
            np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)
            for above, below in ((self.by_seed, other.by_seed), (self.resampled, other.resampled))
        )
        return SeedsFigure(self.value / other.value, by_seed, resampled)


def resample_seeds(
    figures: Sequence[Mapping[str, Figure]],
    num_conditions: Sequence[int],
    rng: np.random.Generator,
    *,
    shared_conditions: bool = False,
    num_resamples: int = NUM_RESAMPLES,
) -> dict[str, SeedsFigure]:
    """Return figures over several seeds by name: what each is for every seed, averaged.

    Args:
        figures: for each seed the same figures, over its own conditions.
        num_conditions: how many conditions each seed has.
        shared_conditions: condition i is the same in every seed, and one draw serves all seeds.

    Raises:
        ValueError: a seed has fewer than two conditions, or, where they are shared, not those of the others.
    """
    if min(num_conditions, default=0) < 2:
        raise ValueError(f"a bootstrap needs two conditions or more of each seed, got {num_conditions}")
    if shared_conditions and len(set(num_conditions)) > 1:
        raise ValueError(f"shared conditions must be as many in each seed, got {num_conditions}")
    batch = max(1, BATCH_VALUES // max(num_conditions))
    batches = [
        _resample_batch(figures, num_conditions, min(batch, num_resamples - start), rng, shared_conditions)
        for start in range(0, num_resamples, batch)
    ]
    everything = [np.ones((1, number), np.int64) for number in num_conditions]
    found = {}
    for name in figures[0]:
        of_all = [float(one[name](counts)[0]) for one, counts in zip(figures, everything, strict=True)]
        resampled = np.concatenate([values[name] for values in batches])
        found[name] = SeedsFigure(float(np.mean(of_all)), np.array(of_all), resampled)
    return found


def _resample_batch(
    figures: Sequence[Mapping[str, Figure]],
    num_conditions: Sequence[int],
    num_resamples: int,
    rng: np.random.Generator,
    shared_conditions: bool,
) -> dict[str, Float64[np.ndarray, " resamples"]]:
    """Return the mean of each figure over the places of the drawn seeds."""
    num_seeds = len(figures)
    seeds = rng.integers(num_seeds, size=(num_resamples, num_seeds))
    values = {name: np.empty((num_resamples, num_seeds)) for name in figures[0]}
    shared = _draw_conditions(num_resamples, num_conditions[0], rng) if shared_conditions else None
    for place in range(num_seeds):
        for seed, number in enumerate(num_conditions):
            rows = np.flatnonzero(seeds[:, place] == seed)
            counts = _draw_conditions(len(rows), number, rng) if shared is None else shared[rows]
            for name, figure in figures[seed].items():
                values[name][rows, place] = figure(counts)
    return {name: drawn.mean(axis=1) for name, drawn in values.items()}


def mean_interval(values: Float64[np.ndarray, " seeds"], level: float = CONFIDENCE) -> Interval | None:
    """Return the mean of a few independent values with Student's interval; None for one value."""
    from scipy.stats import t

    if len(values) < 2:
        return None
    mean = float(values.mean())
    half = float(t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def _draw_conditions(
    num_draws: int, num_conditions: int, rng: np.random.Generator
) -> Int64[np.ndarray, "draws n"]:
    """Draw as many conditions as there are, with replacement; how often each was drawn, a row a draw."""
    return _count_draws(rng.integers(num_conditions, size=(num_draws, num_conditions)), num_conditions)


def _count_draws(indices: Int64[np.ndarray, "draws k"], num_conditions: int) -> Int64[np.ndarray, "draws n"]:
    """How often each condition is drawn, a row a draw."""
    offsets = np.arange(len(indices))[:, None] * num_conditions
    counts = np.bincount((indices + offsets).ravel(), minlength=len(indices) * num_conditions)
    return counts.reshape(len(indices), num_conditions)
