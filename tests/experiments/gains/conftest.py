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
    """Makes the scores of pictures, ``repeats`` of each condition, and of targets after the autoencoder."""

    def make(
        scores: Sequence[float | None],
        targets: Sequence[float] = (),
        metric: str = "canny_f1",
        repeats: int = 1,
        **metrics: float,
    ) -> Measured:
        pictures = [
            {"key": f"k{number // repeats:03}", "index": number % repeats, metric: score}
            for number, score in enumerate(scores)
        ]
        rows = [
            {"key": f"k{number:03}", f"{metric}_reconstruction": score, f"{metric}_ceiling": 1.0}
            for number, score in enumerate(targets)
        ]
        return Measured(metrics, pictures, rows, {})

    return make
