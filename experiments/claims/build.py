"""From the table to the findings: claims, tables, charts, and the words around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.claims.beyond import beyond
from experiments.claims.charts import charts
from experiments.claims.findings import Facts, Findings
from experiments.claims.pictures import cards, galleries
from experiments.claims.record import Record, commits_of
from experiments.claims.statements import statements
from experiments.claims.statistics import Results
from experiments.claims.table import Run
from experiments.claims.tables import tables
from experiments.claims.verdicts import judge
from oft.evaluation.intervals import CONFIDENCE

if TYPE_CHECKING:
    import pandas as pd

    from oft.params import Params

SECTIONS = ("base", "sample", "train", "train_subject", "fit_magnitude", "evaluate")
"""Sections of the settings that the page shows."""


def build_findings(
    table: pd.DataFrame,
    records: Mapping[Run, Record],
    params: Params,
    num_planned: int,
    folder: Path,
) -> Findings:
    """Return all that the page shows.

    Args:
        table: see `experiments.claims.table`.
        records: of the table's runs.
        params: the profile's settings.
        num_planned: how many runs the full evidence has.
        folder: of the evidence, with kept pictures and the tables of the experiments beyond pictures.
    """
    results = Results(table, params)
    further_claims, further_tables = beyond(folder)
    return Findings(
        commits=commits_of(records.values()),
        seeds=results.seeds,
        level=CONFIDENCE,
        num_runs=len(results.runs),
        num_planned=num_planned,
        claims=(*(judge(statement, results) for statement in statements(params)), *further_claims),
        tables=(*tables(results, records), *further_tables),
        charts=charts(results, records),
        galleries=tuple(galleries(folder, params)),
        facts=(*_settings(params), _coverage(results.runs), *cards(folder, params)),
    )


def _settings(params: Params) -> Iterable[Facts]:
    """Yield the settings that all runs share, a section each, and those of each adapter."""
    values = params.model_dump()
    adapters = {name: _terse(settings) for name, settings in values["adapters"].items()}
    yield Facts("settings-adapters", "Adapters", tuple(adapters.items()))
    for section in SECTIONS:
        rows = tuple((key, _text(value)) for key, value in values[section].items())
        yield Facts(f"settings-{section}", f"Settings: {section}", rows)


def _terse(settings: Mapping[str, Any]) -> str:
    said = {key: value for key, value in settings.items() if value not in (None, {}, "")}
    return ", ".join(f"{key} {_text(value)}" for key, value in said.items())


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(one)}" for key, one in value.items()) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _coverage(runs: Sequence[Run]) -> Facts:
    """Return which seeds each setting of each task was run under."""
    ordered = sorted(runs, key=lambda run: (run.task, run.setting, run.seed))
    rows = []
    for (task, setting), found in groupby(ordered, key=lambda run: (run.task, run.setting)):
        adapters: dict[str, list[str]] = {}
        for run in found:
            adapters.setdefault(run.adapter, []).append(str(run.seed))
        told = "; ".join(f"{name} {', '.join(seeds)}" for name, seeds in adapters.items())
        rows.append((f"{task}{f', {setting}' if setting else ''}", told))
    return Facts("coverage", "Seeds of each run", tuple(rows))
