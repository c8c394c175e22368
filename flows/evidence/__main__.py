"""``python -m flows.evidence``: run the experiments, keep their numbers, write the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.arguments import parse_names, parse_seeds
from flows.process import exit_on_signals, user_errors
from flows.trials.arguments import read_settings
from flows.trials.changes import REPORTED_SEEDS

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)

OUT = Path("docs/evidence")
TRIALS = Path(".trials/runs")
PROFILE = "compare"
README = Path("README.md")


@app.command()
def main(
    names: Annotated[
        str,
        typer.Option("--experiments", help="Experiments, with commas; all if left out. --list shows them."),
    ] = "",
    seeds: Annotated[
        str, typer.Option(help="Seeds, with commas; all runs of one before the next.")
    ] = ",".join(map(str, REPORTED_SEEDS)),
    tasks: Annotated[
        str, typer.Option(help="Of their runs those of these tasks, with commas; all if left out.")
    ] = "",
    adapters: Annotated[
        str, typer.Option(help="Of their runs those of these adapters, with commas; all if left out.")
    ] = "",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit whose code runs.")] = "HEAD",
    out: Annotated[Path, typer.Option(help="Table, pictures and page.")] = OUT,
    jobs: Annotated[int | None, typer.Option(min=1, help="Stages at a time; one a core if left out.")] = None,
    any_code: Annotated[
        bool,
        typer.Option(
            "--any-code", help="Count what other commits measured as measured; the page names them."
        ),
    ] = False,
    others: Annotated[
        list[Path] | None,
        typer.Option(
            "--add",
            metavar="FOLDER",
            help="Run nothing: take over what another machine measured in its --out; may be repeated.",
        ),
    ] = None,
    page_only: Annotated[
        bool, typer.Option("--page-only", help="Run nothing: write the page from the table as it is.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and stop.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Print the experiments, and stop.")] = False,
) -> None:
    """Answer the paper's claims: adapters side by side, steps, parameters, data, stability, layers.

    Every run is the pipeline with the settings of the profile `compare`, in a clone under .clones with this
    repository's DVC cache. Its numbers go into --out/scores.parquet as soon as it ends, and what the table
    has is not run again: interrupt it when you like, on another machine too. Several machines may share the
    runs, by seed, experiment, task or adapter; `--add` brings their tables together.

    `python -m flows.evidence --experiments adapters --seeds 0`

    `python -m flows.evidence --tasks segm_ade20k --adapters oft,lora`
    """
    exit_on_signals()
    with user_errors():
        from experiments.claims.catalogue import experiments
        from flows.evidence.plan import choose, only, plan
        from flows.evidence.run import add_evidence, run_evidence, write_evidence
        from oft.params import parse_params

        read = read_settings(revision, PROFILE)
        params = parse_params(read.values, f"the profile {PROFILE}")
        known = experiments(params)
        if listing:
            for one in known:
                typer.echo(f"{one.name:10}  {one.question}")
            return
        chosen = choose(known, parse_names(names))
        planned = plan(read, chosen, parse_seeds(seeds), TRIALS)
        planned = only(planned, parse_names(tasks), parse_names(adapters))
        if not (page_only or others):
            run_evidence(Path.cwd(), read.commit, planned, out, jobs, any_code, dry_run)
        if dry_run:
            return
        every = plan(read, known, REPORTED_SEEDS, TRIALS)
        for other in others or ():
            typer.echo(add_evidence(every, other, out, any_code=any_code))
        readme = README if out == OUT else None
        typer.echo(write_evidence(out, params, sum(len(one.runs) for one in every), readme))


if __name__ == "__main__":
    app()
