"""Whether the metrics of two runs agree: equal but for what another processor's rounding changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, TypeGuard

from oft.evaluation.intervals import average_by_condition, mean_interval
from oft.storage import flatten

ROUNDING = 1e-5
"""What figures may differ by in any case: some, such as a change of energy, are rounding themselves."""

Run = tuple[str, str]
"""Task and adapter."""

Metrics = Mapping[str, Any]
"""The figures of a run, by name; nested ones by names joined with points."""


@dataclass(frozen=True)
class Pair:
    """One metric of one run, there and here; None where it does not exist."""

    run: Run
    metric: str
    there: Any
    here: Any
    tolerance: float

    @property
    def difference(self) -> float | None:
        """How much more it is here; None where either is no number."""
        return float(self.here - self.there) if _is_number(self.here) and _is_number(self.there) else None

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than the tolerance; what is no number must be equal."""
        difference = self.difference
        return self.there == self.here if difference is None else abs(difference) <= self.tolerance


def pair_metrics(
    there: Mapping[Run, Metrics],
    here: Mapping[Run, Metrics],
    half_widths: Mapping[Run, Mapping[str, float]],
    tolerance: float,
) -> list[Pair]:
    """Return every metric of either side with its twin, by task, adapter and name.

    Args:
        there: of each run its metrics.
        here: of each run its metrics.
        half_widths: of each run half the interval of its means over pictures: a metric may differ by that
            much where it is more than the share ``tolerance`` of the figure.
        tolerance: a share of the larger of the two figures.
    """
    pairs = []
    for run in sorted({*there, *here}):
        theirs, ours = flatten(there.get(run, {})), flatten(here.get(run, {}))
        for metric in sorted({*theirs, *ours}):
            values = theirs.get(metric), ours.get(metric)
            largest = max(map(abs, filter(_is_number, values)), default=0.0)
            allowed = max(ROUNDING, tolerance * largest, half_widths.get(run, {}).get(metric, 0.0))
            pairs.append(Pair(run, metric, *values, allowed))
    return pairs


def mean_half_widths(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return half the 95 % interval of each score's mean over the conditions of pictures.

    Args:
        rows: a picture each: key, index and scores, as in ``per_image.json``.
    """
    names = {name for row in rows for name, value in row.items() if name != "index" and _is_number(value)}
    half_widths = {}
    for name in sorted(names):
        scores = {(str(row["key"]), row["index"]): row[name] for row in rows if _is_number(row.get(name))}
        _, [means] = average_by_condition([scores])
        if (interval := mean_interval(means)) is not None:
            half_widths[name] = (interval.high - interval.low) / 2
    return half_widths


def render_pairs(pairs: Sequence[Pair], revision: str) -> Iterator[str]:
    """Yield the lines of a table of the pairs, then of a summary."""
    rows: list[tuple[str, ...]] = [
        ("task", "adapter", "metric", revision, "here", "difference", "within tolerance")
    ]
    for pair in pairs:
        verdict = "yes" if pair.agrees else "no"
        if pair.there is None or pair.here is None:
            verdict = f"no: {'here' if pair.there is None else revision} alone"
        elif pair.difference is not None:
            verdict += f" ({pair.tolerance:.2g})"
        rows.append((*pair.run, pair.metric, *map(_shown, (pair.there, pair.here, pair.difference)), verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    num_apart = sum(not pair.agrees for pair in pairs)
    yield f"{len(pairs) - num_apart} of {len(pairs)} metrics agree; {num_apart} do not"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < inf


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if _is_number(value) else str(value)
