"""Means of a tidy table's adapters over conditions and seeds, all on the same draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.evaluation.intervals import SeedsFigure, mean_of, resample_seeds

if TYPE_CHECKING:
    import pandas as pd


def paired_means(table: pd.DataFrame, metric: str) -> dict[str, SeedsFigure]:
    """Return each adapter's mean of a metric, over the seeds and conditions that all adapters have it for.

    Every seed has the same conditions; see `oft.evaluation.intervals`. Figures stand on the same draws, so
    they may be subtracted. Adapters without the metric are left out.

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
    sizes = [len(shared)] * len(figures)
    return resample_seeds(figures, sizes, np.random.default_rng(0), shared_conditions=True)
