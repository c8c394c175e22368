"""Rates against numbers of blocks: the scores of a row, its best rate, and the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from experiments.rates.finetuning import Finetuning
from oft.adapters.oft.rotation import ParameterScale
from oft.progress import count

SCALES: tuple[ParameterScale, ...] = get_args(ParameterScale)


def score_rates(
    finetuning: Finetuning,
    num_blocks: int,
    parameter_scale: ParameterScale,
    rates: Sequence[float],
    max_train_steps: int,
) -> dict[float, float]:
    """Return the held-out loss of every rate."""
    name = f"{parameter_scale}, r = {num_blocks}"
    return {
        rate: finetuning.train(num_blocks, parameter_scale, rate, max_train_steps)
        for rate in count(rates, name, "training", len(rates))
    }


def best_rate(scores: Mapping[float, float]) -> float | None:
    """Return the rate at the lowest point of the parabola through the lowest score and its neighbours.

    The rates must ascend. None where the lowest score stands at either end: the best rate then lies outside.
    """
    rates, losses = list(scores), list(scores.values())
    place = losses.index(min(losses))
    if place in (0, len(losses) - 1):
        return None
    around = slice(place - 1, place + 2)
    bend, slope, _ = np.polyfit(np.log(rates[around]), losses[around], 2)
    return math.exp(-slope / (2 * bend))


def markdown_table(
    scores: Mapping[ParameterScale, Mapping[int, Mapping[float, float]]],
    first_steps: Mapping[ParameterScale, Mapping[int, float]],
) -> str:
    """Return, for each number of blocks, the best rate, its nearest score and the first step's effect."""
    lines = [
        "| r | " + " | ".join(f"best rate, `{scale}` | loss | first step" for scale in scores) + " |",
        "| --- |" + " --- | --- | --- |" * len(scores),
    ]
    for number in next(iter(scores.values())):
        cells = [str(number)]
        for scale, rows in scores.items():
            rate = best_rate(rows[number])
            cells += [
                "outside" if rate is None else f"{rate:.1e}",
                f"{min(rows[number].values()):.4f}",
                f"{first_steps[scale][number]:.0f}",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
