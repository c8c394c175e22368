"""From the kept scores of trials to tables: what an adapter adds, and which setting is best."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from experiments.gains.comparison import (
    Estimate,
    Resampling,
    TaskRuns,
    compare_task,
    rank_settings,
)
from experiments.gains.scores import read_measured
from experiments.gains.tables import render_gains, render_ranking, tidy_rows, write_tidy
from flows.trials.changes import Changes, describe_changes
from flows.trials.trial import Part, Trial, condition_and_source
from oft.adapters.hint.method import METHOD as HINT
from oft.adapters.registry import BASE_ALONE
from oft.params import Params, parse_params
from oft.storage import atomic_file, write_json

GAINS, SWEEP, SCORES = "gains", "sweep", "scores.csv"


def write_gains(trials: Sequence[Trial], commit: str, out: Path, resampling: Resampling) -> str:
    """Write gains.md, gains.json and scores.csv of trials that differ in their seed alone; return the page.

    Raises:
        DataError: scores are missing, or of other conditions than others.
    """
    params = parse_params(trials[0].values)
    tasks = dict.fromkeys(part.task for part in trials[0].parts)
    runs = [_runs_of(trials, params, task) for task in tasks]
    estimates = [estimate for one in runs for estimate in compare_task(one, resampling)]
    names = {trial.seed: trial.folder.name for trial in trials}
    write_tidy(out / SCORES, chain.from_iterable(tidy_rows(one, names) for one in runs))
    settings = describe_changes(trials[0].changes)
    page = "\n\n".join(
        [
            "# What the adapters add",
            f"Seeds {_seeds(trials)}; {settings}; commit {commit[:10]}. {_method(resampling)}",
            render_gains(estimates, resampling.level, params.evaluate.judges),
        ]
    )
    values = [_plain(estimate) for estimate in estimates]
    _write(out, GAINS, page, commit, trials, resampling, {"estimates": values, "changes": trials[0].changes})
    return page


def write_sweep(trials: Sequence[Trial], commit: str, out: Path, resampling: Resampling) -> str:
    """Write sweep.md and sweep.json of trials of several settings, each with all seeds; return the page.

    Raises:
        DataError: scores are missing, or of other conditions than others.
    """
    params = parse_params(trials[0].values)
    shared = _shared_changes(trials)
    parts = [part for part in trials[0].parts if part.adapter != BASE_ALONE]
    tables, ranked = [], []
    for part in parts:
        metric, rows = rank_settings(_settings_of(trials, params, part, shared), resampling)
        title, judges = f"{part.task}, {part.adapter}", params.evaluate.judges
        tables.append(render_ranking(title, metric, rows, resampling.level, judges))
        scores = [row._asdict() for row in rows]
        ranked.append({"task": part.task, "adapter": part.adapter, "metric": metric, "settings": scores})
    page = "\n\n".join(
        [
            "# Settings, the best first",
            f"Chosen on the pictures of seeds {_seeds(trials)}, on which no figure is reported; commit "
            f"{commit[:10]}. {_method(resampling)} Where the interval behind the best holds 0, the two are "
            f"not told apart. All have: {describe_changes(shared)}.",
            *tables,
        ]
    )
    _write(out, SWEEP, page, commit, trials, resampling, {"tables": ranked})
    return page


def _runs_of(trials: Sequence[Trial], params: Params, task: str) -> TaskRuns:
    """Return the runs of a task with every adapter, one a seed."""
    parts = [part for part in trials[0].parts if part.task == task]
    arms = {part.adapter: [read_measured(trial.scores(part)) for trial in trials] for part in parts}
    hints = (
        adapter for adapter in arms if adapter != BASE_ALONE and params.adapters[adapter].method == HINT.name
    )
    seeds = tuple(trial.seed for trial in trials)
    return TaskRuns(task, *condition_and_source(params, task), seeds, arms, next(hints, None))


def _shared_changes(trials: Sequence[Trial]) -> Changes:
    """Return the changes that all trials have."""
    first, *others = (trial.changes for trial in trials)
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }


def _settings_of(trials: Sequence[Trial], params: Params, part: Part, shared: Changes) -> TaskRuns:
    """Return the runs of one adapter on one task with every setting, one a seed, as arms of their own."""
    seeds = tuple(dict.fromkeys(trial.seed for trial in trials))
    by_setting: dict[str, list[Trial]] = {}
    for trial in trials:
        own = {key: value for key, value in trial.changes.items() if key not in shared}
        by_setting.setdefault(describe_changes(own), []).append(trial)
    arms = {
        setting: [read_measured(trial.scores(part)) for trial in found]
        for setting, found in by_setting.items()
    }
    return TaskRuns(part.task, *condition_and_source(params, part.task), seeds, arms)


def _write(
    out: Path,
    name: str,
    page: str,
    commit: str,
    trials: Sequence[Trial],
    resampling: Resampling,
    found: dict[str, Any],
) -> None:
    described = {
        "commit": commit,
        "level": resampling.level,
        "num_resamples": resampling.num_resamples,
        "trials": {trial.folder.name: dict(_with_seed(trial.changes, trial.seed)) for trial in trials},
    }
    write_json(out / f"{name}.json", {**described, **found})
    with atomic_file(out / f"{name}.md") as partial:
        partial.write_text(f"{page}\n", encoding="utf-8")


def _with_seed(changes: Changes, seed: int) -> Changes:
    return {**changes, "seed": seed}


def _plain(estimate: Estimate) -> dict[str, Any]:
    return estimate._asdict() | {"by_seed": {str(seed): value for seed, value in estimate.by_seed.items()}}


def _seeds(trials: Sequence[Trial]) -> str:
    return ", ".join(dict.fromkeys(str(trial.seed) for trial in trials))


def _method(resampling: Resampling) -> str:
    return (
        f"Intervals of {resampling.level:.0%}: paired, over seeds and conditions (docs/experiments.md), "
        f"{resampling.num_resamples} resamples."
    )
