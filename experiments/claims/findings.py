"""What the evidence comes to, as plain data: made from the table of scores, shown by the page.

``findings.json`` beside the table is `Findings` as JSON. Whoever wants the figures elsewhere reads that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["holds", "holds in part", "does not hold", "undecided", "not measured"]
Direction = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval it lies in; without an interval both ends are None."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Contrast:
    """One comparison that a claim rests on.

    Attributes:
        task: the task's name; `task_title`: what readers call it.
        metric: the metric's key; `metric_title`: its title, with its judge.
        label: what is compared, such as ``OFT - LoRA``.
        estimate: paired over conditions and seeds.
        expected: where the claim wants the estimate: above 0, below 0.
        verdict: what this comparison alone says.
        stands_at_once: it is decided even with an interval that holds at once with all others of its claim.
        num_conditions, num_seeds: what it is over.
    """

    task: str
    task_title: str
    metric: str
    metric_title: str
    label: str
    estimate: Estimate
    expected: Literal["above", "below"]
    verdict: Verdict
    stands_at_once: bool
    num_conditions: int
    num_seeds: int


@dataclass(frozen=True)
class Claim:
    """One claim, its answer first.

    Attributes:
        name: of letters, digits and ``-``: the page's permalink.
        title: a few words.
        question: what was asked.
        verdict: of all contrasts together.
        answer: the verdict in a sentence with its figures.
        paper: what the paper says, with its figures and their table or figure.
        differs: where the miniature differs from the paper's setting, and why that may matter.
        contrasts: what the verdict rests on; empty where nothing was measured.
        in_paper: whether the paper makes the claim; else it is a question of ours.
    """

    name: str
    title: str
    question: str
    verdict: Verdict
    answer: str
    paper: str
    differs: str
    contrasts: tuple[Contrast, ...] = ()
    in_paper: bool = True


@dataclass(frozen=True)
class Column:
    """A column of a table: a metric's key, its title, which direction is better, and what it says."""

    key: str
    title: str
    direction: Direction = "neither"
    explanation: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: the adapter's or reference's name.
        title: what readers call it.
        cells: by the column's key; what was not measured is absent.
        best: the keys of the columns in which every other adapter is worse, beyond the paired interval of the
            difference: what may stand in bold.
        is_reference: it is no adapter (the base alone, the ceiling, real pictures).
    """

    name: str
    title: str
    cells: Mapping[str, Estimate]
    best: tuple[str, ...] = ()
    is_reference: bool = False


@dataclass(frozen=True)
class Table:
    """Adapters side by side on one task."""

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Point:
    """A point of a curve: a number on the axis, and the estimate there."""

    x: float
    estimate: Estimate


@dataclass(frozen=True)
class Series:
    """A line of a chart."""

    name: str
    title: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Chart:
    """Lines over one axis, or points without lines.

    Attributes:
        name: the page's permalink.
        claim: the claim below which it stands.
        kind: ``line``, or ``scatter``, whose series have one point each.
        x_title, y_title: with units.
        log_x: whether the axis is logarithmic.
        direction: which y is better.
        note: one sentence on how to read it.
    """

    name: str
    title: str
    claim: str
    kind: Literal["line", "scatter"]
    x_title: str
    y_title: str
    log_x: bool
    direction: Direction
    series: tuple[Series, ...]
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """A picture of a gallery.

    Attributes:
        picture: its file, relative to the folder of the findings.
        found: the condition extracted from it once more; None where there is none.
        score: by the gallery's metric; None where there is none.
    """

    picture: str
    found: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class GalleryRow:
    """One condition or prompt, and what was made of it, by column."""

    key: str
    caption: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Gallery:
    """Rows of pictures, the same seed in each column.

    Attributes:
        name: the page's permalink.
        kind: ``hero`` opens the page; ``failures`` are each adapter's worst.
        columns: keys and titles, from left to right: what was given, the target, base, hint, adapters.
        metric_title: of the scores below the pictures; '' for none.
        note: how the rows were chosen.
    """

    name: str
    title: str
    kind: Literal["hero", "samples", "failures"]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[GalleryRow, ...]
    metric_title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """Terms and words under a heading: settings, costs, a data card."""

    name: str
    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Findings:
    """All that the page shows.

    Attributes:
        commits: what was measured by which commit of the pipeline, the newest first.
        seeds: the seeds of the runs.
        level: confidence of the intervals.
        num_runs: how many runs the table holds; `num_planned`: how many the full evidence has.
    """

    commits: tuple[str, ...]
    seeds: tuple[int, ...]
    level: float
    num_runs: int
    num_planned: int
    claims: tuple[Claim, ...]
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]
    galleries: tuple[Gallery, ...]
    facts: tuple[Facts, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)
