"""The whole experiment: every arm on every equation under every seed, as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cdr.adaptation import adapt
from experiments.cdr.equation import Equation
from experiments.cdr.folder import RunFolder, one_thread
from experiments.cdr.protocol import ARMS, REPORTED, Protocol
from experiments.cdr.sweep import protocol_settings, read_rates
from experiments.tidy import Row, to_table, write_table
from oft.progress import progress

if TYPE_CHECKING:
    import pandas as pd

EXPERIMENT = "cdr"
TABLE_FILE = f"{EXPERIMENT}.parquet"
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Plan:
    """What a run is to train.

    Attributes:
        seeds: each has its own pretrained network and points.
        equations: what is adapted to.
        arms: of `ARMS`.
        protocol: sizes.
        rates: learning rates by arm; None takes those of the sweep.
    """

    seeds: Sequence[int] = SEEDS
    equations: Sequence[Equation] = REPORTED
    arms: Sequence[str] = ARMS
    protocol: Protocol = field(default_factory=Protocol)
    rates: Mapping[str, float] | None = None

    def cells(self) -> list[tuple[int, Equation, str]]:
        """Return (seed, equation, arm) of every training, in order."""
        return [
            (seed, equation, arm) for seed in self.seeds for equation in self.equations for arm in self.arms
        ]

    def learning_rates(self) -> Mapping[str, float]:
        """Return the rate of each arm that is trained.

        Raises:
            UserError: there is no sweep, or it lacks an arm.
        """
        return read_rates(self.arms) if self.rates is None else self.rates

    def settings(self) -> dict[str, Any]:
        """Return what results in one folder have in common."""
        rates = dict(self.learning_rates())
        return {**protocol_settings(self.protocol, self.arms), "learning_rates": rates}


def run(out: Path, plan: Plan | None = None) -> pd.DataFrame:
    """Train what ``out`` does not have yet, write ``cdr.parquet`` there, and return it.

    Of each equation and arm the table has ``relative_l2`` and ``max_error`` at the end and, as setting
    ``step=N``, on the way, ``trained_parameters``, and ``forgetting``, the error on the old equation. Its
    bytes do not depend on whether, and where, a run was interrupted.

    Raises:
        UserError: ``out`` has results of other settings or a damaged file, or there is no sweep.
    """
    plan = plan or Plan()
    folder = RunFolder(out, plan.settings())
    rates = plan.learning_rates()
    rows = []
    with one_thread(), progress(len(plan.cells()), EXPERIMENT, "trainings") as bar:
        for seed, equation, arm in plan.cells():
            bar.describe(f"{arm} on {equation.name}, seed {seed}")
            for setting, metric, value in _scores(folder, plan.protocol, seed, equation, arm, rates.get(arm)):
                name = equation.name
                rows.append(Row(EXPERIMENT, name, arm, setting, seed, name, metric, value))
            bar.advance()
    table = to_table(rows)
    write_table(table, Path(out) / TABLE_FILE)
    return table


def cell_key(seed: int, equation: Equation, arm: str) -> tuple[str, ...]:
    """Return the key of a training's scores in the folder."""
    return "trainings", equation.name, arm, f"seed-{seed}"


def _scores(
    folder: RunFolder, protocol: Protocol, seed: int, equation: Equation, arm: str, rate: float | None
) -> list[tuple[str, str, float]]:
    scores: list[tuple[str, str, float]] = folder.result(
        *cell_key(seed, equation, arm),
        make=lambda: adapt(arm, equation, seed, folder.pretrained(protocol, seed), protocol, rate),
    )
    return scores
