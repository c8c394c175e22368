"""Beyond pictures: what the experiments `cdr` and `text` found, as claims and tables of the page.

Their tables lie beside the pipeline's, ``cdr.parquet`` and ``text.parquet``; what is not there was not run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.claims.findings import Claim, Column, Contrast, Estimate, Row, Table
from experiments.claims.statistics import estimate_of
from experiments.claims.verdicts import Judged, judged, side_of, stands_out, verdict_of_all, word
from experiments.paired import MeanFigure, paired_means
from experiments.tidy import read_table
from oft.evaluation.intervals import CONFIDENCE

if TYPE_CHECKING:
    import pandas as pd

TITLES = {
    "none": "Nothing adapted",
    "scratch": "From scratch",
    "oft": "OFT",
    "coft": "COFT",
    "lora": "LoRA",
    "boft": "BOFT",
    "full": "Full finetuning",
}
REFERENCES = ("none", "scratch")
COMPARED = ("lora", "boft", "full")
PARAMETERS = Column("trained_parameters", "Trained parameters", "lower")


@dataclass(frozen=True)
class Beyond:
    """One experiment beyond pictures.

    Attributes:
        name: of its table's file and its permalinks.
        condition: what is paired, in the plural.
        columns: its metrics, the first the one that the claim is about; of those with conditions the
            table shows means with intervals, of others means over seeds.
        tasks: titles of its tasks that have a table of their own; none: one table over all tasks.
    """

    name: str
    title: str
    question: str
    paper: str
    differs: str
    condition: str
    columns: tuple[Column, ...]
    tasks: Mapping[str, str]


EXPERIMENTS = (
    Beyond(
        "cdr",
        "A physics-informed network",
        "Does OFT adapt a network that solves one convection-diffusion-reaction equation to others with less "
        "error than LoRA, BOFT and full finetuning?",
        "Not in the paper; later work on finetuning adapts such networks.",
        "A small network that learned one equation; the loss has second derivatives through "
        "adapted layers. All arms train for as many steps, each at its own swept rate.",
        "equations",
        (
            Column("relative_l2", "Relative L2 error", "lower", "of the solution, against a solver's"),
            Column("forgetting", "Error on the old equation", "lower", "of the adapted network"),
            PARAMETERS,
        ),
        {},
    ),
    Beyond(
        "text",
        "A classifier of texts",
        "Does OFT classify texts better than LoRA, BOFT and full finetuning?",
        "Not in the paper; tables of later work have text classification.",
        "A small BERT (all-MiniLM-L6-v2) with a linear head, short trainings, the same layers for all.",
        "documents",
        (
            Column("correct", "Accuracy", "higher", "share of the test documents"),
            Column("macro_f1", "Macro F1", "higher"),
            Column(
                "similarity_spearman",
                "Similarities kept",
                "higher",
                "Spearman's correlation of the similarities of other texts, before and after",
            ),
            Column("energy_change", "Change of hyperspherical energy", "lower"),
            PARAMETERS,
        ),
        {"r8": "Reuters R8", "newsgroups20": "20 newsgroups"},
    ),
)


def beyond(folder: Path, level: float = CONFIDENCE) -> tuple[list[Claim], list[Table]]:
    """Return the claims and tables of the experiments beyond pictures.

    Args:
        folder: of the evidence; holds their tables.
    """
    claims, tables = [], []
    for one in EXPERIMENTS:
        table = read_table(folder / f"{one.name}.parquet")
        parts = [(title, table[table["task"] == task]) for task, title in one.tasks.items()]
        parts = [(title, part) for title, part in parts or [(one.title, table)] if len(part)]
        claims.append(_claim(one, parts, level))
        tables += [_table(one, title, part, place) for place, (title, part) in enumerate(parts)]
    return claims, tables


def _claim(one: Beyond, parts: Sequence[tuple[str, pd.DataFrame]], level: float) -> Claim:
    column = one.columns[0]
    compared = [
        (title, other, means["oft"] - means[other])
        for title, part in parts
        if "oft" in (means := paired_means(part, column.key))
        for other in COMPARED
        if other in means
    ]
    num_planned = max(1, len(one.tasks)) * len(COMPARED)
    contrasts = tuple(
        _contrast(one, title, other, judged(difference, side_of(column.direction), level, num_planned))
        for title, other, difference in compared
    )
    missing = num_planned - len(contrasts)
    verdict = verdict_of_all([contrast.verdict for contrast in contrasts], missing)
    answer = word(verdict, contrasts, missing)
    return Claim(
        one.name, one.title, one.question, verdict, answer, one.paper, one.differs, contrasts, in_paper=False
    )


def _contrast(one: Beyond, title: str, other: str, found: Judged) -> Contrast:
    column = one.columns[0]
    return Contrast(
        task=one.name,
        task_title=title,
        metric=column.key,
        metric_title=column.title,
        label=f"{TITLES['oft']} − {TITLES[other]}",
        **found._asdict(),
    )


def _count(table: pd.DataFrame, metric: str, column: str) -> int:
    return int(table[table["metric"] == metric][column].nunique())


def _table(one: Beyond, title: str, table: pd.DataFrame, place: int) -> Table:
    main = one.columns[0].key
    means = {column.key: paired_means(table, column.key) for column in one.columns}
    arms = [arm for arm in TITLES if arm in means[main]]
    columns = [column for column in one.columns if (table["metric"] == column.key).any()]
    rows = []
    for arm in arms:
        cells = {
            column.key: cell for column in columns if (cell := _cell(table, arm, column, means[column.key]))
        }
        differences = [
            means[main][arm] - figure
            for name, figure in means[main].items()
            if name not in (arm, *REFERENCES)
        ]
        is_best = arm not in REFERENCES and stands_out(differences, one.columns[0].direction)
        best = (main,) if is_best else ()
        rows.append(Row(arm, TITLES[arm], cells, best, arm in REFERENCES))
    counts = f"{_count(table, main, 'condition')} {one.condition}, {_count(table, main, 'seed')} seeds"
    return Table(
        name=f"table-{one.name}{f'-{place}' if one.tasks else ''}",
        title=title,
        note=f"{counts}; bold where every other adapter is worse beyond the interval of the difference.",
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _cell(table: pd.DataFrame, arm: str, column: Column, means: Mapping[str, MeanFigure]) -> Estimate | None:
    """Return a mean with its interval over conditions and seeds; of a number of whole runs the mean alone."""
    if column.key == PARAMETERS.key or not means:
        own = table[(table["adapter"] == arm) & (table["metric"] == column.key) & (table["setting"] == "")]
        return Estimate(float(own["value"].mean())) if len(own) else None
    return estimate_of(means[arm]) if arm in means else None
