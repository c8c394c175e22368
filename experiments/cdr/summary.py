"""The table in a few lines: each arm's mean errors with intervals, and its difference to OFT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.gains.tables import NONE, markdown_table
from experiments.paired import paired_means

if TYPE_CHECKING:
    import pandas as pd

    from experiments.paired import MeanFigure

COMPARED = "oft"


def render(table: pd.DataFrame) -> str:
    """Return a markdown table: a row for each arm, its mean errors with 95 % intervals.

    Equations are the conditions, the same for every seed.

    Raises:
        ValueError: there are fewer than two equations.
    """
    errors, forgetting, trained = (
        paired_means(table, metric) for metric in ("relative_l2", "forgetting", "trained_parameters")
    )
    rows = [
        (
            arm,
            f"{trained[arm].value:.0f}",
            _cell(error),
            _cell(error - errors[COMPARED] if COMPARED in errors and arm != COMPARED else None),
            _cell(forgetting.get(arm)),
        )
        for arm, error in errors.items()
    ]
    head = ("arm", "trained", "relative L2 error", f"less that of {COMPARED}", "error on the old equation")
    return "\n".join(markdown_table(head, rows))


def _cell(figure: MeanFigure | None) -> str:
    if figure is None:
        return NONE
    interval = figure.interval()
    ends = f" [{interval.low:.4f}, {interval.high:.4f}]" if interval else ""
    return f"{figure.value:.4f}{ends}"
