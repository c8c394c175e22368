"""What a report is made of: everything read, nothing drawn yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""RGB, uint8 [height, width, 3]."""

Piece = Literal[
    "angles",
    "confusion",
    "counts",
    "curves",
    "failures",
    "magnitude",
    "metrics",
    "params",
    "samples",
    "shards",
]


@dataclass(frozen=True)
class Note:
    """A piece that is missing or cannot be read, in a sentence for the page."""

    piece: Piece
    text: str


@dataclass(frozen=True)
class Curve:
    """One logged value over the steps of a training.

    Attributes:
        phase: ``train`` or ``magnitude``.
        name: the logger's name of the value, for example ``train/loss``.
        steps: optimizer steps.
        values: one for each step.
    """

    phase: str
    name: str
    steps: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion table: which share of the actual class's pixels was given the predicted one."""

    actual: str
    predicted: str
    share: float


@dataclass(frozen=True, eq=False)
class Output:
    """One generated picture.

    Attributes:
        picture: RGB.
        index: which of the pictures of its condition or prompt it is.
        prompt: the text it was drawn from.
        seed: what its noise was drawn with, where that was written down.
    """

    picture: Picture
    index: int
    prompt: str
    seed: int | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """One condition (or prompt) and what each adapter made of it; whatever is missing is None or absent."""

    key: str
    caption: str
    condition: Picture | None
    target: Picture | None
    outputs: Mapping[str, Output]


@dataclass(frozen=True, eq=False)
class Failure:
    """One of an adapter's worst pictures by the task's score."""

    adapter: str
    score_name: str
    score: float
    comparison: Comparison


@dataclass(frozen=True, eq=False)
class Example:
    """A sample of the shards as the data section shows it."""

    key: str
    caption: str
    condition: Picture | None
    picture: Picture | None


@dataclass(frozen=True)
class Run:
    """One task with one adapter.

    Attributes:
        adapter: its name; ``none`` is the base alone.
        trained_on: the task whose adapter this is, where it is another task's.
        num_samples: pictures generated.
        metrics: the values of ``metrics.json``, flat.
        curves: what training and magnitude fitting logged.
        summaries: by phase, the values of ``summary.json``, flat.
        confusion: the cells of the confusion table, in the file's order.
    """

    adapter: str
    trained_on: str | None = None
    num_samples: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    summaries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    confusion: tuple[Cell, ...] = ()


@dataclass(frozen=True, eq=False)
class TaskResults:
    """One task with all its runs, the base alone first.

    Attributes:
        name: its name in the params.
        condition: canny, segmentation, densepose, ... or ``subject``.
        dataset: the data set it is drawn from, '' where unknown.
        source: where the data set comes from, the setting ``acquire.source``.
        runs: in the order of the columns.
        comparisons: the rows of the grid, chosen at random by the seed.
        more_comparisons: further prompts of a subject.
        instances: a subject's own pictures.
        examples: samples of the shards, chosen at random by the seed.
        card: what the card of the shards says, as terms and words; empty where there is none.
        examples_split: the split they are from.
        num_shard_samples: by split, how many samples the shards hold.
        failures: each adapter's worst pictures.
        notes: what is missing.
    """

    name: str
    condition: str
    dataset: str
    source: str
    runs: tuple[Run, ...]
    comparisons: tuple[Comparison, ...]
    more_comparisons: tuple[Comparison, ...]
    instances: tuple[Example, ...]
    examples: tuple[Example, ...]
    card: Mapping[str, str]
    examples_split: str
    num_shard_samples: Mapping[str, int]
    failures: tuple[Failure, ...]
    notes: tuple[Note, ...]

    @property
    def is_subject(self) -> bool:
        """Whether the task learns one thing from a few pictures of it."""
        return self.condition == "subject"


@dataclass(frozen=True)
class CountsRow:
    """What one stage saw, kept and dropped of one split.

    Attributes:
        stage: acquire, extract, caption or shard.
        name: the data set or task.
        split: ``train`` or ``val``.
        seen: None where the file does not say.
        kept: None where the file does not say.
        dropped: how many for each reason.
        offenders: for each reason the first few names.
    """

    stage: str
    name: str
    split: str
    seen: int | None
    kept: int | None
    dropped: Mapping[str, int]
    offenders: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Angles:
    """The toy experiment: pictures drawn from one form of activations.

    Attributes:
        metrics: the values of its ``metrics.json``.
        rows: for each picture shown, itself and what was drawn from each form, in the glossary's order.
    """

    metrics: Mapping[str, Any]
    rows: tuple[tuple[Picture, ...], ...]


@dataclass(frozen=True, eq=False)
class Report:
    """Everything the page shows but telemetry; ``angles`` is None where that experiment was not run."""

    params: Mapping[str, Any]
    seed: int
    tasks: tuple[TaskResults, ...]
    counts: tuple[CountsRow, ...]
    notes: tuple[Note, ...]
    angles: Angles | None = None
