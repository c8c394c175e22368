"""Figures averaged over training seeds, paired over conditions, and the intervals they lie in.

An interval is about trainings and conditions that were not run. It is ``mean ± √(t²ₛ s²/S + t²ₙ c²)``: s²
is the variance of the S seeds' figures, c² that of the mean over n conditions, by the bootstrap with the
seeds as they are; tₛ and tₙ are Student's quantiles with S - 1 and n - 1 degrees of freedom. Each source
has its own interval, and their half-widths add in squares (MOVER: Zou and Donner 2008, Statistics in
Medicine 27). One quantile for both, with Satterthwaite's degrees of freedom, is narrower and wrong too
often: where three trainings vary by three times what their conditions do, some of six comparisons of
nothing was decided in 16 % of simulated worlds; here in no more than 5 %
(tests/experiments/test_paired.py).

So three trainings count as three, four equations as four, and hundreds of pictures do not stand for either.
Where every seed has conditions of its own, s² holds their part once more: intervals are then wider than
need be, not narrower. One seed says nothing of s²: its interval is over conditions alone, and nothing may
be concluded from it (`MIN_SEEDS`).

Of several comparisons that are read together each interval gets its share of the error probability
(Bonferroni), so that all hold at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from oft.evaluation.intervals import (
    BATCH_VALUES,
    CONFIDENCE,
    NUM_RESAMPLES,
    Figure,
    Interval,
    count_draws,
    mean_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float64

MIN_SEEDS = 3
"""Trainings that a conclusion takes: one says nothing of how trainings vary, two next to nothing."""

# What is left of a difference of equal numbers.
ROUNDING = 1e-12


@dataclass(frozen=True)
class MeanFigure:
    """A figure averaged over seeds; those on the same draws of conditions may be subtracted and divided.

    Attributes:
        by_seed: what it is for each seed.
        resampled: its mean over the seeds for each draw of conditions; empty for a number of whole runs.
        num_conditions: how many there are; those that seeds share count once.
    """

    by_seed: Float64[np.ndarray, " seeds"]
    resampled: Float64[np.ndarray, " draws"]
    num_conditions: int

    @property
    def value(self) -> float:
        """The mean over the seeds."""
        return float(self.by_seed.mean())

    @property
    def num_seeds(self) -> int:
        """How many trainings it is over."""
        return len(self.by_seed)

    def __sub__(self, other: MeanFigure) -> MeanFigure:
        """Return the paired difference."""
        by_seed, resampled = self.by_seed - other.by_seed, self.resampled - other.resampled
        return MeanFigure(by_seed, resampled, self.num_conditions)

    def ratio_to(self, other: MeanFigure, level: float = CONFIDENCE) -> MeanFigure | None:
        """Return the paired ratio of the means; None where the interval of ``other`` holds 0.

        A ratio to what may be 0 can be any number. Elsewhere it varies as its linear part does (delta
        method): each seed and draw counts with ``ratio + (above - ratio · below) / mean below``.
        """
        bounds = other.interval(level)
        if bounds is None or not bounds.excludes_zero:
            return None
        ratio = self.value / other.value
        by_seed, resampled = (
            ratio + (above - ratio * below) / other.value
            for above, below in ((self.by_seed, other.by_seed), (self.resampled, other.resampled))
        )
        return MeanFigure(by_seed, resampled, self.num_conditions)

    @cached_property
    def _variances(self) -> tuple[tuple[float, int], ...]:
        """The variance of the mean that each source adds, and its degrees of freedom."""
        found = []
        if self.num_seeds > 1:
            found.append((float(self.by_seed.var(ddof=1)) / self.num_seeds, self.num_seeds - 1))
        if self.num_conditions > 1:
            unbiased = self.num_conditions / (self.num_conditions - 1)
            # A draw without a pixel of any class has no figure.
            found.append((float(np.nanvar(self.resampled)) * unbiased, self.num_conditions - 1))
        return tuple(found)

    def interval(self, level: float = CONFIDENCE, num_compared: int = 1) -> Interval | None:
        """Return the interval, one of ``num_compared`` that all hold with probability ``level``.

        Returns:
            None for the number that one run has of all its pictures; a point where nothing varies.
        """
        from scipy.special import stdtrit

        if not self._variances:
            return None
        if sum(variance for variance, _ in self._variances) <= ROUNDING**2:
            return Interval(self.value, self.value, self.value)
        tail = 1 - (1 - level) / (2 * num_compared)
        squares = (stdtrit(freedom, tail) ** 2 * variance for variance, freedom in self._variances)
        half = float(sum(squares)) ** 0.5
        return Interval(self.value, self.value - half, self.value + half)


def of_whole_runs(values: Sequence[float] | Float64[np.ndarray, " seeds"]) -> MeanFigure:
    """Return the figure of a number that each run has of all its pictures, one a seed."""
    return MeanFigure(np.array(values, dtype=np.float64), np.zeros(0), 0)


def over_seeds(
    figures: Sequence[Mapping[str, Figure]],
    num_conditions: Sequence[int],
    *,
    shared_conditions: bool,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> dict[str, MeanFigure]:
    """Return figures by name, averaged over seeds, on draws of conditions that are the same for all names.

    Args:
        figures: for each seed the same figures, over its own conditions.
        num_conditions: how many conditions each seed has.
        shared_conditions: condition i is the same in every seed, and one draw serves all seeds.
        seed: of the draws.

    Raises:
        ValueError: a seed has fewer than two conditions, or, where they are shared, not those of the others.
    """
    if min(num_conditions, default=0) < 2:
        raise ValueError(f"a bootstrap needs two conditions or more of each seed, got {num_conditions}")
    if shared_conditions and len(set(num_conditions)) > 1:
        raise ValueError(f"shared conditions must be as many in each seed, got {num_conditions}")
    resampled = [
        _resample(of_seed, number, num_resamples, [seed] if shared_conditions else [seed, place])
        for place, (of_seed, number) in enumerate(zip(figures, num_conditions, strict=True))
    ]
    everything = [np.ones((1, number), np.int64) for number in num_conditions]
    total = num_conditions[0] if shared_conditions else sum(num_conditions)
    return {
        name: MeanFigure(
            np.array([float(one[name](counts)[0]) for one, counts in zip(figures, everything, strict=True)]),
            np.mean([one[name] for one in resampled], axis=0),
            total,
        )
        for name in figures[0]
    }


def _resample(
    figures: Mapping[str, Figure], num_conditions: int, num_resamples: int, seed: Sequence[int]
) -> dict[str, Float64[np.ndarray, " draws"]]:
    """Return each figure of one seed for draws, with replacement, of as many conditions as there are."""
    rng = np.random.default_rng(seed)
    batch = max(1, BATCH_VALUES // num_conditions)
    drawn: dict[str, list[Float64[np.ndarray, " part"]]] = {name: [] for name in figures}
    for start in range(0, num_resamples, batch):
        size = (min(batch, num_resamples - start), num_conditions)
        counts = count_draws(rng.integers(num_conditions, size=size), num_conditions)
        for name, figure in figures.items():
            drawn[name].append(figure(counts))
    return {name: np.concatenate(parts) for name, parts in drawn.items()}


def paired_means(table: pd.DataFrame, metric: str) -> dict[str, MeanFigure]:
    """Return each adapter's mean of a metric, over the seeds and conditions that all adapters have it for.

    Every seed has the same conditions. Adapters without the metric are left out.

    Args:
        table: of one experiment, without rows of other settings.

    Raises:
        ValueError: there are fewer than two conditions.
    """
    own = table[(table["metric"] == metric) & (table["condition"] != "") & (table["setting"] == "")]
    by_seed = {
        seed: rows.pivot_table(index="condition", columns="adapter", values="value", sort=True).dropna()
        for seed, rows in own.groupby("seed", sort=True)
    }
    if not by_seed:
        return {}
    shared = sorted(set.intersection(*(set(scores.index) for scores in by_seed.values())))
    adapters = list(dict.fromkeys(own["adapter"]))
    figures = [
        {name: mean_of(scores.loc[shared, name].to_numpy(np.float64)) for name in adapters}
        for scores in by_seed.values()
    ]
    return over_seeds(figures, [len(shared)] * len(figures), shared_conditions=True)
