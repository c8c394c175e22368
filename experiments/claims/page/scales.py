"""Where figures lie on a shared axis, in per cent of its width: the geometry of the page's interval bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from experiments.claims.findings import Estimate
from experiments.claims.numbers import format_number

_STEPS = (1, 2, 5, 10)
_NUM_STEPS = 4
_END_PERCENT = 7
_FEWEST_ON_LOG = 3


@dataclass(frozen=True)
class Scale:
    """A linear axis from low to high, low < high."""

    low: float
    high: float

    def holds(self, estimate: Estimate) -> bool:
        """Return whether a figure and its interval lie on the axis."""
        ends = (end for end in (estimate.low, estimate.value, estimate.high) if end is not None)
        return all(self.low <= end <= self.high for end in ends)

    def place(self, value: float) -> float:
        """Return where a value lies, 0 to 100; what lies beyond an end is put on it."""
        return 100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


@dataclass(frozen=True)
class Bar:
    """An interval on an axis, in per cent of its width: the ends and the figure itself."""

    start: float
    width: float
    at: float


def span(estimates: Iterable[Estimate]) -> Scale | None:
    """Return the axis that just holds all figures and intervals; None where they are all one value."""
    ends = [end for one in estimates for end in (one.low, one.value, one.high) if end is not None]
    return Scale(min(ends), max(ends)) if ends and min(ends) < max(ends) else None


def span_around_zero(estimates: Sequence[Estimate]) -> Scale:
    """Return an axis for differences: it holds all of them, zero, and a little room on either side."""
    ends = [0.0, *(end for one in estimates for end in (one.low, one.value, one.high) if end is not None)]
    low, high = min(ends), max(ends)
    room = 0.08 * (high - low) or 1.0
    return Scale(low - room, high + room)


def lay(estimate: Estimate, scale: Scale) -> Bar:
    """Return an estimate on an axis; without an interval the bar has no width."""
    at = scale.place(estimate.value)
    start = at if estimate.low is None else scale.place(estimate.low)
    end = at if estimate.high is None else scale.place(estimate.high)
    return Bar(start, end - start, at)


def ticks(scale: Scale) -> list[tuple[float, str]]:
    """Return places and labels of round numbers on an axis: zero, and others not too near an end."""
    step, decimals = _round_step(scale.low, scale.high)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    found = [
        (number, scale.place(number * step), format_number(number * step, decimals, signed=True))
        for number in range(first, last + 1)
    ]
    return [
        (place, label)
        for number, place, label in found
        if number == 0 or _END_PERCENT <= place <= 100 - _END_PERCENT
    ]


def round_numbers(low: float, high: float, *, log: bool = False) -> list[float]:
    """Return round numbers to label an axis with: from the last below its points to the first above them.

    On a logarithmic axis they are 1, 2, 5, 10, ...; where fewer than three of these lie among the points,
    they are equal steps as on a linear axis.

    Args:
        low, high: the first point and the last.
        log: whether the axis is logarithmic, low > 0.
    """
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [float(f"{factor}e{power}") for power in powers for factor in _STEPS[:-1]]
        if sum(low <= number <= high for number in found) >= _FEWEST_ON_LOG:
            return found
    if low == high:
        return [low]
    step, decimals = _round_step(low, high)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    found = [round(number * step, decimals) for number in range(first, last + 1)]
    return [number for number in found if number > 0] if log else found


def _round_step(low: float, high: float) -> tuple[float, int]:
    """Return a step of 1, 2 or 5 times a power of ten, about a quarter of a range, and its decimals."""
    wanted = (high - low) / _NUM_STEPS
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(power * factor for factor in _STEPS if power * factor >= wanted * (1 - 1e-9))
    return step, max(0, -math.floor(math.log10(step) + 1e-9))
