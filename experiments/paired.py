"""Figures averaged over training seeds, paired over conditions, and the intervals they lie in.

An interval is about trainings and conditions that were not run. It is ``mean ± t √(s²/S + c²)``: s² is the
variance of the S seeds' figures, c² that of the mean over conditions, by the bootstrap with the seeds as they
are; t is Student's quantile with Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2),

    (s²/S + c²)² / ((s²/S)² / (S - 1) + c⁴ / (n - 1)),   of n conditions.

So three trainings count as three, four equations as four, and hundreds of pictures do not stand for either.
Where every seed has conditions of its own, s² holds their part once more: intervals are then wider than need
be (by a third where trainings vary no more than their conditions do), not narrower. One seed says nothing of
s²: its interval is over conditions alone, and nothing may be concluded from it (`MIN_SEEDS`).

Of several comparisons that are read together each interval gets its share of the error probability
(Bonferroni), so that all hold at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from oft.evaluation.intervals import CONFIDENCE, Figure, Interval, mean_of, resample_seeds

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float64

MIN_SEEDS = 3
"""Trainings that a conclusion needs: from two, too many are wrong (tests/experiments/test_paired.py)."""

NUM_RESAMPLES = 9999
# What is left of a difference of equal numbers.
ROUNDING = 1e-12


@dataclass(frozen=True)
class MeanFigure:
    """A figure averaged over seeds; those on the same draws of conditions may be subtracted.

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
        from scipy.stats import t

        if not self._variances:
            return None
        total = sum(variance for variance, _ in self._variances)
        if total <= ROUNDING**2:
            return Interval(self.value, self.value, self.value)
        freedom = total**2 / sum(variance**2 / freedom for variance, freedom in self._variances)
        half = float(t.ppf(1 - (1 - level) / (2 * num_compared), freedom)) * total**0.5
        return Interval(self.value, self.value - half, self.value + half)


def of_whole_runs(values: Sequence[float]) -> MeanFigure:
    """Return the figure of a number that each run has of all its pictures, one a seed."""
    return MeanFigure(np.array(values, dtype=np.float64), np.zeros(0), 0)


def over_seeds(
    figures: Sequence[Mapping[str, Figure]], num_conditions: Sequence[int], *, shared_conditions: bool
) -> dict[str, MeanFigure]:
    """Return figures by name, averaged over seeds, on draws of conditions that are the same for all names.

    Args:
        figures: for each seed the same figures, over its own conditions.
        num_conditions: how many conditions each seed has.
        shared_conditions: condition i is the same in every seed, and one draw serves all seeds.

    Raises:
        ValueError: a seed has fewer than two conditions.
    """
    drawn = [
        resample_seeds(
            [of_seed], [number], np.random.default_rng(0 if shared_conditions else [0, place]),
            num_resamples=NUM_RESAMPLES,
        )
        for place, (of_seed, number) in enumerate(zip(figures, num_conditions, strict=True))
    ]  # fmt: skip
    total = num_conditions[0] if shared_conditions else sum(num_conditions)
    return {
        name: MeanFigure(
            np.array([one[name].value for one in drawn]),
            np.mean([one[name].resampled for one in drawn], axis=0),
            total,
        )
        for name in figures[0]
    }


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
