"""Running what the table lacks, and writing table, findings and page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import typer

from experiments.claims.build import build_findings
from experiments.claims.markdown import evidence_page, verdicts_table
from experiments.claims.pictures import copy_pictures
from experiments.claims.record import Record, read_records, write_records
from experiments.claims.table import Run, replace_runs, rows_of, runs_in
from experiments.gains.scores import read_measured
from experiments.tidy import Row, read_table, write_table
from flows.evidence.keeping import extras, keep_part, kept_cost, mark_start
from flows.evidence.plan import Planned, without_recorded
from flows.trials.estimate import estimate_seconds
from flows.trials.reproduce import about, reproduce
from flows.trials.run import describe_trial, run_trials
from flows.trials.trial import Part
from oft.errors import DataError
from oft.params import Params
from oft.report.showcase import put_between
from oft.storage import atomic_file, write_json

TABLE, RECORDS, FINDINGS, PAGE = "scores.parquet", "runs.json", "findings.json", "index.html"
MARKDOWN = "claims.md"
BEGIN, END = "<!-- claims: make evidence -->", "<!-- /claims -->"
"""What stands around the README's table of verdicts."""


def run_evidence(
    root: Path,
    commit: str,
    planned: Sequence[Planned],
    out: Path,
    jobs: int | None = None,
    any_code: bool = False,
    dry_run: bool = False,
) -> None:
    """Run what the table lacks, one trial after the other, and add each to the table as it ends.

    Args:
        out: holds the table.
        any_code: count runs of other code as measured too.
        dry_run: print what would run instead.

    Raises:
        UserError: a stage fails.
    """
    for one in planned:
        record(one, commit, out)  # what an interrupted run measured and did not come to write down
    left = without_recorded(planned, read_records(out / RECORDS), any_code=any_code)
    seconds = estimate_seconds([one.trial for one in left], root, jobs)
    total, waiting = (sum(len(one.trial.parts) for one in those) for those in (planned, left))
    known = "how long is not known: no stage was timed here" if seconds is None else about(seconds)
    typer.echo(f"{waiting} of {total} runs to make{f', {known}' if waiting else ''}.")
    for number, one in enumerate(left):
        title = f" [{one.label}]" if one.label else ""
        if dry_run:
            typer.echo(f"{describe_trial(one.trial)}{title}")
            continue
        typer.echo(f"Setting {number + 1} of {len(left)}{title}")
        mark_start(one.trial)
        keep = partial(keep_part, with_pictures=one.is_shown)
        run_trials(root, commit, [one.trial], partial(reproduce, jobs=jobs), typer.echo, keep)
        record(one, commit, out)


def record(one: Planned, commit: str, out: Path) -> None:
    """Add what is measured of a trial and not yet in the table: scores, cost, pictures."""
    records = read_records(out / RECORDS)
    new = [
        part
        for part in one.trial.parts
        if one.trial.scores(part).is_dir() and not one.is_measured(part, records)
    ]
    if not new:
        return
    rows = (row for part in new for row in rows_of(one.run(part), read_measured(one.trial.scores(part))))
    measured = {
        one.run(part): Record(commit, one.trial.digest_of(part), kept_cost(one.trial, part)) for part in new
    }
    _put(out, rows, records, measured, [(extras(one.trial, part), pictures_of(out, part)) for part in new])


def add_evidence(planned: Sequence[Planned], source: Path, out: Path, *, any_code: bool = False) -> str:
    """Take over what another machine measured and the table here lacks; return a line that says how much.

    Args:
        planned: all runs; what was measured under other settings or code is left out, unless ``any_code``.
        source: the folder in which the other machine keeps its table.
        out: holds the table here.

    Raises:
        DataError: the folder has no table, or one without a run that its records name.
    """
    if not (source / TABLE).is_file():
        raise DataError(f"{source} has no {TABLE}; give --add a folder that `make evidence` wrote, whole")
    theirs, ours = read_records(source / RECORDS), read_records(out / RECORDS)
    measured = runs_in(read_table(source / TABLE))
    if lost := sorted(theirs.keys() - measured.keys()):
        raise DataError(f"{source / TABLE} lacks {tuple(lost[0])}, which {RECORDS} names; copy both anew")
    new = {
        one.run(part): (one, part)
        for one in planned
        for part in one.trial.parts
        if one.is_measured(part, theirs, any_code=any_code) and not one.is_measured(part, ours)
    }
    rows = (Row(*row) for run in new for row in measured[run].itertuples(index=False))
    shown = [part for one, part in new.values() if one.is_shown]
    pictures = [(pictures_of(source, part), pictures_of(out, part)) for part in shown]
    _put(out, rows, ours, {run: theirs[run] for run in new}, pictures)
    return f"{source}: {len(new)} of {len(theirs)} runs are new here."


def _put(
    out: Path,
    rows: Iterable[Row],
    known: Mapping[Run, Record],
    new: Mapping[Run, Record],
    pictures: Iterable[tuple[Path, Path]],
) -> None:
    """Put new runs into the evidence: rows, pictures from folder to folder, and their records last."""
    write_table(replace_runs(read_table(out / TABLE), new, rows), out / TABLE)
    for kept, target in pictures:
        copy_pictures(kept, target)
    write_records(out / RECORDS, {**known, **new})


def pictures_of(out: Path, part: Part) -> Path:
    """Return where the evidence keeps a part's pictures."""
    return out / "pictures" / part.task / part.adapter


def write_evidence(out: Path, params: Params, num_planned: int, readme: Path | None = None) -> str:
    """Write findings, pages and the README's verdicts of the table as it is; return a line that says where.

    Args:
        out: holds the table.
        params: the settings that the runs share.
        num_planned: how many runs the full evidence has.
        readme: has a table of verdicts between `BEGIN` and `END`; None leaves it as it is.

    Raises:
        DataError: the README lacks the marks.
    """
    from experiments.claims.page import render_page

    table, records = read_table(out / TABLE), read_records(out / RECORDS)
    findings = build_findings(table, records, params, num_planned, out)
    render_page(findings, out, out / PAGE)  # it refuses what it cannot show: nothing else is written then
    write_json(out / FINDINGS, findings.to_json())
    _write_text(out / MARKDOWN, evidence_page(findings))
    if readme is not None:
        text = readme.read_text(encoding="utf-8")
        _write_text(readme, put_between(text, verdicts_table(findings), BEGIN, END))
    return f"{out / PAGE}: {findings.num_runs} of {num_planned} runs, {len(findings.claims)} claims."


def _write_text(path: Path, text: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
