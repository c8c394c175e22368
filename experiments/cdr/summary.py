"""The table in a few lines: each arm's mean errors with intervals, and its difference to OFT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from experiments.cdr.tables import TidyRow
from oft.evaluation.intervals import SeedsFigure, difference_of, mean_of, resample_seeds

if TYPE_CHECKING:
    import pyarrow as pa

COMPARED = "oft"


def summarise(table: pa.Table, metric: str) -> dict[str, tuple[SeedsFigure, SeedsFigure | None]]:
    """Return each arm's mean of a metric at the end, over equations and seeds, and the same less OFT's.

    Equations are the conditions, the same for every seed; see `oft.evaluation.intervals`. An arm without the
    metric is left out, the difference is None where OFT is not in the table.

    Raises:
        ValueError: there are fewer than two equations.
    """
    rows = [TidyRow(**row) for row in table.to_pylist()]
    values = {
        (row.adapter, row.seed, row.condition): row.value
        for row in rows
        if row.metric == metric and not row.setting
    }
    arms, seeds, conditions = (list(dict.fromkeys(part)) for part in zip(*values, strict=True))
    figures = []
    for seed in seeds:
        means = {
            arm: mean_of(np.array([values[arm, seed, condition] for condition in conditions])) for arm in arms
        }
        less = {
            f"{arm} - {COMPARED}": difference_of(mean, means[COMPARED])
            for arm, mean in means.items()
            if COMPARED in means and arm != COMPARED
        }
        figures.append(means | less)
    sizes = [len(conditions)] * len(seeds)
    found = resample_seeds(figures, sizes, np.random.default_rng(0), shared_conditions=True)
    return {arm: (found[arm], found.get(f"{arm} - {COMPARED}")) for arm in arms}


def render(table: pa.Table) -> str:
    """Return a markdown table: a row for each arm, its mean errors with 95 % intervals."""
    errors, forgetting = summarise(table, "relative_l2"), summarise(table, "forgetting")
    trained = summarise(table, "trained_parameters")
    lines = [
        f"| arm | trained | relative L2 error | less that of {COMPARED} | error on the old equation |",
        "| --- | ---: | --- | --- | --- |",
    ]
    for arm, (mean, less) in errors.items():
        old = forgetting[arm][0] if arm in forgetting else None
        cells = [arm, f"{trained[arm][0].value:.0f}", *map(_cell, (mean, less, old))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(figure: SeedsFigure | None) -> str:
    if figure is None:
        return "–"
    value, low, high = figure.interval()
    return f"{value:.4f} [{low:.4f}, {high:.4f}]"
