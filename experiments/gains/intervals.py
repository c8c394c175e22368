"""Intervals of paired comparisons over seeds and conditions: arrays in, intervals out.

One resample draws seeds with replacement, then, for each drawn seed, conditions with replacement; all arms
keep their scores of the drawn conditions, so whatever makes a condition hard cancels in differences and
ratios. It is the hierarchical bootstrap of nested data (Davison and Hinkley 1997, Bootstrap Methods and their
Application, section 3.8). Where every seed has the same conditions one draw of conditions serves all seeds,
or each would count as often as there are seeds (Owen 2007, The Pigeonhole Bootstrap, arXiv 0712.1111).
Intervals are percentiles.

With one seed this is the ordinary bootstrap, at its rate, and says nothing of another training. With few
seeds it errs to the wide side where seeds differ by their conditions alone (at three seeds a third wider
than need be), and to the narrow side where they differ by more than that: three trainings tell little of how
trainings vary. So the values of each seed stand beside an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float64

ValueOfTotals = Callable[["Float64[np.ndarray, '*batch columns']"], "Float64[np.ndarray, '*batch']"]
"""A score from the sums of its columns over conditions."""

# Resampled numbers at a time: 80 MB of them.
BATCH_VALUES = 10_000_000


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Quantity:
    """A number, what it is for each seed, and what it is in each resample.

    Quantities of the same resamples can be subtracted and divided: that is what pairs them.
    """

    value: float
    by_seed: Float64[np.ndarray, " seeds"]
    samples: Float64[np.ndarray, " resamples"]

    def __sub__(self, other: Quantity) -> Quantity:
        """Return the paired difference."""
        return Quantity(self.value - other.value, self.by_seed - other.by_seed, self.samples - other.samples)

    def interval(self, level: float) -> Interval:
        """Return the percentile interval at a confidence level, 0 to 1."""
        low, high = np.nanquantile(self.samples, ((1 - level) / 2, (1 + level) / 2))
        return Interval(float(low), float(high))

    def is_nonzero(self, level: float) -> bool:
        """Return whether the interval leaves 0 out."""
        low, high = self.interval(level)
        return low > 0 or high < 0


def divide(numerator: Quantity, denominator: Quantity, level: float) -> Quantity | None:
    """Return a paired ratio; None where the denominator may be 0: its interval holds it.

    A ratio to what may be 0 can be any number, and its interval would say so in a misleading way. Seeds and
    resamples whose own denominator is 0 are NaN.
    """
    if not denominator.is_nonzero(level):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [
            np.where(below == 0, np.nan, above / below)
            for above, below in (
                (numerator.by_seed, denominator.by_seed),
                (numerator.samples, denominator.samples),
            )
        ]
    return Quantity(numerator.value / denominator.value, *ratios)


def resample(
    tables: Sequence[Float64[np.ndarray, "_ arms columns"]],
    value: ValueOfTotals,
    num_resamples: int,
    rng: np.random.Generator,
    *,
    shared_conditions: bool = False,
) -> list[Quantity]:
    """Return the score of each arm: the mean over seeds, where each seed's is over its conditions.

    Args:
        tables: for each seed, a row for each condition with the columns of each arm; what is summed over
            conditions (a score and 1, for a mean; pixel counts, for a mean IoU).
        value: the score from these sums.
        shared_conditions: row i is the same condition in every seed.

    Raises:
        ValueError: a seed has fewer than two conditions, or, where they are shared, not those of the others.
    """
    sizes = [len(table) for table in tables]
    if min(sizes, default=0) < 2:
        raise ValueError(f"a bootstrap needs two conditions or more of each seed, got {sizes}")
    if shared_conditions and len(set(sizes)) > 1:
        raise ValueError(f"shared conditions must be as many in each seed, got {sizes}")
    by_seed = np.stack([value(table.sum(axis=0)) for table in tables])
    num_seeds, num_arms = by_seed.shape
    width = max(tables[0][0].size * num_seeds, *sizes)
    batch = max(1, BATCH_VALUES // width)
    samples = np.concatenate(
        [
            value(_draw_totals(tables, min(batch, num_resamples - start), rng, shared_conditions)).mean(
                axis=1
            )
            for start in range(0, num_resamples, batch)
        ]
    )
    means = by_seed.mean(axis=0)
    return [Quantity(float(means[arm]), by_seed[:, arm], samples[:, arm]) for arm in range(num_arms)]


def _draw_totals(
    tables: Sequence[Float64[np.ndarray, "_ arms columns"]],
    num_resamples: int,
    rng: np.random.Generator,
    shared_conditions: bool,
) -> Float64[np.ndarray, "resamples seeds arms columns"]:
    """Return the column sums of resamples, for each place of a drawn seed."""
    num_seeds = len(tables)
    drawn = rng.integers(num_seeds, size=(num_resamples, num_seeds))
    totals = np.empty((num_resamples, num_seeds, *tables[0].shape[1:]))
    weights = _draw_weights(len(tables[0]), num_resamples, rng) if shared_conditions else None
    for place in range(num_seeds):
        for seed, table in enumerate(tables):
            rows = np.flatnonzero(drawn[:, place] == seed)
            of_rows = _draw_weights(len(table), len(rows), rng) if weights is None else weights[rows]
            totals[rows, place] = np.tensordot(of_rows, table, axes=1)
    return totals


def _draw_weights(
    num_conditions: int, num_resamples: int, rng: np.random.Generator
) -> Float64[np.ndarray, "resamples conditions"]:
    """Return how often each condition is drawn when as many are drawn with replacement as there are."""
    shares = np.full(num_conditions, 1 / num_conditions)
    return rng.multinomial(num_conditions, shares, size=num_resamples).astype(np.float64)


def interval_of_mean(values: Float64[np.ndarray, " seeds"], level: float) -> Interval | None:
    """Return Student's interval of the mean of a few independent values, one a seed; None for one value."""
    from scipy.stats import t

    if len(values) < 2:
        return None
    half = float(t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(float(values.mean()) - half, float(values.mean()) + half)


def mean_score(
    totals: Float64[np.ndarray, "*batch columns"],
) -> Float64[np.ndarray, "*batch"]:
    """Return the mean of a score from two columns, its sum and how many there are; NaN where none is."""
    scores: Float64[np.ndarray, "*batch"] = _quotient(totals[..., 0], totals[..., 1])
    return scores


def mean_iou(totals: Float64[np.ndarray, "*batch columns"]) -> Float64[np.ndarray, "*batch"]:
    """Return the mean IoU from pixel counts; see `_classes`.

    On the sums of all conditions it is what `oft.evaluation` computes, over the classes that the truth has.
    """
    hits, actual, predicted = _classes(totals)
    return _mean_over_present(_quotient(hits, actual + predicted - hits), actual)


def mean_recall(totals: Float64[np.ndarray, "*batch columns"]) -> Float64[np.ndarray, "*batch"]:
    """Return the share of each class's pixels that are right, averaged over classes; see `_classes`."""
    hits, actual, _ = _classes(totals)
    return _mean_over_present(_quotient(hits, actual), actual)


def pixel_accuracy(totals: Float64[np.ndarray, "*batch columns"]) -> Float64[np.ndarray, "*batch"]:
    """Return the share of all pixels that are right; see `_classes`."""
    hits, actual, _ = _classes(totals)
    return _quotient(hits.sum(axis=-1), actual.sum(axis=-1))


def _classes(totals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hits, actual and predicted pixels of the classes from 1 on.

    The columns are the three, class by class from 0. Class 0 is ADE20K's "other" and DensePose's background,
    which no mean takes in.
    """
    hits, actual, predicted = np.moveaxis(totals.reshape(*totals.shape[:-1], 3, -1)[..., 1:], -2, 0)
    return hits, actual, predicted


def _mean_over_present(shares: np.ndarray, actual: np.ndarray) -> np.ndarray:
    present = actual > 0
    return _quotient(np.where(present, shares, 0).sum(axis=-1), present.sum(axis=-1).astype(np.float64))


def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full_like(above, np.nan, dtype=np.float64), where=below > 0)
