"""What the stage ``evaluate`` leaves of one adapter, made from scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pytest

from experiments.gains.scores import Measured


class MakeMeasured(Protocol):
    def __call__(
        self,
        scores: Sequence[float | None],
        targets: Sequence[float] = (),
        metric: str = "canny_f1",
        repeats: int = 1,
        **metrics: float,
    ) -> Measured: ...


@pytest.fixture
def measured() -> MakeMeasured:
    """Makes the scores of pictures, ``repeats`` of each condition, beside those of targets."""

    def make(
        scores: Sequence[float | None],
        targets: Sequence[float] = (),
        metric: str = "canny_f1",
        repeats: int = 1,
        **metrics: float,
    ) -> Measured:
        rows = []
        for number, score in enumerate(scores):
            place = number // repeats
            row = {"key": f"k{place:03}", "index": number % repeats, metric: score}
            if targets:
                row |= {f"{metric}_reconstruction": targets[place], f"{metric}_real": 1.0}
            rows.append(row)
        return Measured(metrics, rows)

    return make
