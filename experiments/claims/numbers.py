"""Figures as readers see them: as many decimals as their intervals bear out, the same throughout a column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from experiments.claims.findings import Contrast, Direction, Estimate
from oft.report.scores import as_power_of_ten

MAX_DECIMALS = 6
MAX_DIGITS = 10
MEASURED_DIGITS = 4
ARROWS: dict[Direction, str] = {"higher": "↑", "lower": "↓", "neither": ""}
DIRECTIONS: dict[Direction, str] = {"higher": "higher is better", "lower": "lower is better", "neither": ""}


def choose_decimals(estimates: Iterable[Estimate]) -> int:
    """Return how many decimals figures of one kind get: two digits of the median interval's width.

    Without intervals three digits of the largest figure, and whole numbers none.
    """
    found = list(estimates)
    widths = [one.high - one.low for one in found if one.low is not None and one.high is not None]
    widths = [width for width in widths if width > 0]
    if widths:
        return _clamp(1 - math.floor(math.log10(median(widths))))
    sizes = [abs(one.value) for one in found if one.value]
    if not sizes or all(float(size).is_integer() for size in sizes):
        return 0
    return _clamp(2 - math.floor(math.log10(max(sizes))))


def decimals_of(contrasts: Sequence[Contrast]) -> dict[str, int]:
    """Return how many decimals a claim's differences get, by the metric's name: in text and tables alike.

    No end of an interval that excludes 0 is rounded to 0.
    """
    found = {}
    for metric in dict.fromkeys(one.metric for one in contrasts):
        estimates = [one.estimate for one in contrasts if one.metric == metric]
        decimals = choose_decimals(estimates)
        nearest = min((end for one in estimates if (end := _distance_from_zero(one))), default=1.0)
        while decimals < MAX_DECIMALS and nearest < 0.5 * 10**-decimals:
            decimals += 1
        found[metric] = decimals
    return found


def _distance_from_zero(estimate: Estimate) -> float:
    """Return how far an interval lies from 0; 0 where it contains it or there is none."""
    if estimate.low is None or estimate.high is None:
        return 0.0
    return max(estimate.low, -estimate.high, 0.0)


def _clamp(decimals: int) -> int:
    return min(max(decimals, 0), MAX_DECIMALS)


def format_number(value: float, decimals: int, *, signed: bool = False) -> str:
    """Return a figure: 0.512, 1,024, +0.020."""
    text = f"{value:{'+' if signed else ''},.{decimals}f}"
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")  # what rounds to zero has no side
    return text.replace("-", "−")


def format_value(estimate: Estimate, decimals: int, *, signed: bool = False) -> str:
    """Return an estimate without its interval; −3.1 × 10⁻⁷ where its decimals would show nothing of it."""
    if _rounds_to_zero(estimate, decimals):
        return as_power_of_ten(f"{estimate.value:{'+' if signed else ''}.1e}")
    return format_number(estimate.value, decimals, signed=signed)


def format_range(estimate: Estimate, decimals: int) -> str:
    """Return an estimate's interval, [0.004, 0.018]; '' where it has none."""
    if estimate.low is None or estimate.high is None:
        return ""
    if _rounds_to_zero(estimate, decimals):
        ends = (as_power_of_ten(f"{end:.1e}") for end in (estimate.low, estimate.high))
    else:
        ends = (format_number(end, decimals) for end in (estimate.low, estimate.high))
    return f"[{', '.join(ends)}]"


def format_estimate(estimate: Estimate, decimals: int, *, signed: bool = False) -> str:
    """Return an estimate with its interval: +0.011 [0.004, 0.018]."""
    return f"{format_value(estimate, decimals, signed=signed)} {format_range(estimate, decimals)}".strip()


def _rounds_to_zero(estimate: Estimate, decimals: int) -> bool:
    """Return whether a figure that is not 0 would read as 0 with all its interval."""
    known = [abs(one) for one in (estimate.value, estimate.low, estimate.high) if one is not None]
    return estimate.value != 0 and max(known) < 0.5 * 10**-decimals


def choose_digits(points: Iterable[float]) -> int:
    """Return how many significant digits points of an axis get: four of what was measured, else all.

    Settings have no more than four, and counts are whole.
    """
    found = list(points)
    is_exact = all(float(x).is_integer() for x in found) or all(has_few_digits(x) for x in found)
    return MAX_DIGITS if is_exact else MEASURED_DIGITS


def has_few_digits(value: float) -> bool:
    """Return whether a number is one that somebody sets, of four digits or less: 6e-5, 1,600, 12.5."""
    return float(f"{value:.{MEASURED_DIGITS}g}") == value


def format_setting(value: float, digits: int = MAX_DIGITS) -> str:
    """Return a point of an axis: 0.002, 20,000, 6 × 10⁻⁵; 344.3 where it was measured.

    Args:
        digits: significant ones, at most; see `choose_digits`.
    """
    value = float(f"{value:.{digits}g}")
    if value and not 1e-4 <= abs(value) < 1e7:
        mantissa, exponent = f"{value:.3e}".split("e")
        return as_power_of_ten(f"{mantissa.rstrip('0').rstrip('.')}e{exponent}")
    return f"{value:,.{MAX_DIGITS}g}".replace("-", "−")
