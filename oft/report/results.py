"""What a report is made of: everything read, nothing drawn yet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from oft.evaluation.metric import STYLE, SUBJECT
from oft.report.glossary import AdapterWords

if TYPE_CHECKING:
    from oft.params import Params

Picture = NDArray[np.uint8]
"""RGB, uint8 [height, width, 3]."""

Piece = Literal[
    "angles",
    "confusion",
    "counts",
    "curves",
    "failures",
    "intervals",
    "magnitude",
    "metrics",
    "samples",
    "shards",
    "validation",
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


@dataclass(frozen=True, eq=False)
class ValidationGrid:
    """What an adapter drew for the same few samples while it was trained, as one picture.

    Attributes:
        step: optimizer steps done.
        picture: rows from above: conditions (where there are any), targets, what was drawn.
    """

    step: int
    picture: Picture


@dataclass(frozen=True)
class ConfusionCell:
    """One cell of a confusion table: which share of the actual class's pixels was given the predicted one."""

    actual: str
    predicted: str
    share: float


@dataclass(frozen=True)
class PictureScores:
    """The scores of one generated picture by their names; what is no number is left out."""

    key: str
    index: int
    scores: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Output:
    """One generated picture.

    Attributes:
        picture: RGB.
        index: which repeat of its condition or prompt it is.
        prompt: the text it was drawn from.
        seed: what its noise was drawn with.
    """

    picture: Picture
    index: int
    prompt: str
    seed: int


@dataclass(frozen=True, eq=False)
class SampleRow:
    """One condition (or prompt) and what each adapter made of it; whatever is missing is None or absent.

    Attributes:
        kind: of a style, whether the prompt is a seen or an unseen one; '' elsewhere.
    """

    key: str
    caption: str
    condition: Picture | None
    target: Picture | None
    outputs: Mapping[str, Output]
    kind: str = ""

    @property
    def seeds(self) -> set[int]:
        """The seeds of the row's generated pictures."""
        return {output.seed for output in self.outputs.values()}


@dataclass(frozen=True, eq=False)
class Failure:
    """One of an adapter's worst pictures by the task's score."""

    adapter: str
    score_name: str
    score: float
    comparison: SampleRow


@dataclass(frozen=True, eq=False)
class ShownSample:
    """A sample of the shards as the data section shows it."""

    key: str
    caption: str
    condition: Picture | None
    picture: Picture | None


@dataclass(frozen=True)
class RunResults:
    """One task with one adapter.

    Attributes:
        adapter: its name; ``none`` is the base alone.
        words: what the page calls it.
        trained_on: the task whose adapter this is, where it is another task's.
        num_samples: pictures generated.
        metrics: the values of ``metrics.json``, flat.
        curves: what training and magnitude fitting logged.
        validation: what it drew while it was trained: the first, the middle and the last grid.
        summaries: by phase, the values of ``summary.json``, flat.
        confusion: the cells of the confusion table, in the file's order.
        pictures: the scores of each generated picture, and of what it is compared with.
        class_pixels: by picture, for ``generated`` and its references, the pixels of each class: found, true,
            predicted.
    """

    adapter: str
    words: AdapterWords = field(default_factory=AdapterWords)
    trained_on: str | None = None
    num_samples: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    validation: tuple[ValidationGrid, ...] = ()
    summaries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    confusion: tuple[ConfusionCell, ...] = ()
    pictures: tuple[PictureScores, ...] = ()
    class_pixels: Mapping[tuple[str, int], Mapping[str, Mapping[int, tuple[int, int, int]]]] = field(
        default_factory=dict
    )

    def number(self, metric: str) -> float | None:
        """Return a metric's value, None where there is none that is a finite number."""
        return number(self.metrics.get(metric))


@dataclass(frozen=True, eq=False)
class TaskResults:
    """One task with all its runs, the base alone first.

    Attributes:
        name: its name in the params.
        condition: canny, segmentation, densepose, ... or `SUBJECT`, `STYLE`.
        dataset: the data set it is drawn from.
        dataset_title: what that is called where people read it.
        title: the task's name for readers, with its data set's.
        short_title: the same without.
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
    dataset_title: str
    title: str
    short_title: str
    runs: tuple[RunResults, ...]
    comparisons: tuple[SampleRow, ...]
    more_comparisons: tuple[SampleRow, ...]
    instances: tuple[ShownSample, ...]
    examples: tuple[ShownSample, ...]
    card: Mapping[str, str]
    examples_split: str
    num_shard_samples: Mapping[str, int]
    failures: tuple[Failure, ...]
    notes: tuple[Note, ...]

    @property
    def is_subject(self) -> bool:
        """Whether the task learns one thing from a few pictures of it."""
        return self.condition == SUBJECT

    @property
    def is_style(self) -> bool:
        """Whether the task learns the manner of pictures."""
        return self.condition == STYLE


@dataclass(frozen=True)
class CountsRow:
    """What one stage saw, kept and dropped of one split.

    Attributes:
        stage: acquire, extract, caption or shard.
        name: the data set or task.
        title: what that is called where people read it.
        split: ``train`` or ``val``.
        dropped: how many for each reason.
        offenders: for each reason the first few names.
    """

    stage: str
    name: str
    title: str
    split: str
    seen: int
    kept: int
    dropped: Mapping[str, int]
    offenders: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class AnglesResults:
    """The toy experiment: pictures drawn from one form of activations.

    Attributes:
        metrics: the values of its ``metrics.json``.
        rows: for each picture shown, itself and what was drawn from each form, in the glossary's order.
    """

    metrics: Mapping[str, Any]
    rows: tuple[tuple[Picture, ...], ...]


@dataclass(frozen=True)
class StageTelemetry:
    """Seconds, memory and whatever else a stage measured of its own running, flat."""

    stage: str
    values: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything the page shows but telemetry; ``angles`` is None where that experiment was not run."""

    params: Params
    tasks: tuple[TaskResults, ...]
    counts: tuple[CountsRow, ...]
    notes: tuple[Note, ...]
    angles: AnglesResults | None = None


def number(value: Any) -> float | None:
    """Return a finite number as float, None for anything else."""
    is_finite = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_finite else None
