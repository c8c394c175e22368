"""Tables of runs whose scores are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pytest

from experiments.claims.statistics import Arm, Results
from experiments.claims.table import Run, rows_of
from experiments.gains.scores import Measured
from experiments.tidy import Row, to_table
from oft.params import Params, parse_params
from oft.profiles import compose_profile
from tests.conftest import ROOT

NUM_PICTURES = 40
SEEDS = (0, 1, 2)


@pytest.fixture(scope="session")
def compared() -> Params:
    """The settings of the profile `compare`."""
    return parse_params(compose_profile(ROOT / "conf", "compare"))


class MakeResults(Protocol):
    def __call__(
        self, gains: Mapping[Arm, float], task: str = ..., seeds: tuple[int, ...] = ..., **metrics: Any
    ) -> Results: ...


@pytest.fixture
def results(compared: Params) -> MakeResults:
    """Makes results in which an arm is better on each picture by its gain, give or take a little."""

    def make(
        gains: Mapping[Arm, float],
        task: str = "canny_coco",
        seeds: tuple[int, ...] = SEEDS,
        **metrics: Mapping[Arm, float],
    ) -> Results:
        rows: list[Row] = []
        for arm, gain in gains.items():
            for seed in seeds:
                of_run = {name: values[arm] + 1e-3 * seed for name, values in metrics.items()}
                run = Run(task, arm.adapter, arm.setting, seed)
                rows += rows_of(run, scored(gain, seed, arm, of_run))
        return Results(to_table(rows), compared)

    return make


def scored(gain: float, seed: int, arm: Arm, metrics: Mapping[str, float]) -> Measured:
    """Return scores: how hard a condition is the seed decides, the rest is noise of the arm's own."""
    hard = np.random.default_rng(seed).uniform(0.2, 0.4, NUM_PICTURES)
    own = np.random.default_rng([seed, *map(ord, f"{arm.adapter}{arm.setting}")])
    scores = hard + gain + own.normal(0, 0.01, NUM_PICTURES)
    rows = [
        {"key": f"k{place:03}", "index": 0, "canny_f1": float(score)} for place, score in enumerate(scores)
    ]
    return Measured({"canny_f1": float(scores.mean()), **metrics}, rows)
