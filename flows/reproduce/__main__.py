"""``python -m flows.reproduce``: bring the whole pipeline up to date, stages side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands import describe_change
from flows.process import exit_on_signals
from oft.errors import UserError

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


TargetsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help="Stages to bring up to date, with all they need: `train@segm_ade20k-oft`, or `train` for "
        "every training. None: the whole pipeline.",
        show_default=False,
    ),
]
RevisionOption = Annotated[
    str | None,
    typer.Option(
        help="A branch, a tag, a commit or HEAD: work on that, in a clone under .clones with this one's "
        "cache; what is edited here stays out. With Prefect alone.",
        show_default=False,
    ),
]


@app.command()
def main(
    targets: TargetsArgument = None,
    plain: Annotated[bool, typer.Option("--plain", help="Without Prefect: no record is kept.")] = False,
    pull: Annotated[
        bool, typer.Option("--pull", help="First fetch what others have pushed to the default DVC remote.")
    ] = False,
    revision: RevisionOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Stages at a time on this machine; one a core if left out. A GPU serves one."
        ),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="After a failure, start what does not depend on it.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the stages that would run, and why, and stop.")
    ] = False,
) -> None:
    """Bring the pipeline of dvc.yaml up to date: every stage when what it needs is there, several at a time.
    Stages that are up to date are skipped, as `dvc repro` skips them; one that dies of a signal or a fault of
    input and output is tried again; one that fails stops the run, and running it again goes on from there.

    `make repro` runs this with --plain. Without it, `make flow`, the run is a Prefect flow with a task for
    each stage, their lines in the log, and pages of metrics, times and pictures. Without a server Prefect
    starts one for the time of the run (some 10 seconds). To watch runs in a browser, start one with
    `make serve`: a run in the same clone finds it. Of another one give address and password:

    `PREFECT_API_URL=https://oft.example.org/api PREFECT_API_AUTH_STRING=user:password make flow`

    `prefect artifact inspect metrics` prints the page of metrics again; `dvc stage list` names the stages,
    `dvc dag` draws them. `OFT_EXECUTOR=ray` runs the stages on a Ray cluster.
    """
    exit_on_signals()
    if plain and revision is not None:
        raise typer.BadParameter("--revision works in a clone, which --plain does not make; leave one out")
    from flows.reproduce.views import show_run

    if dry_run and revision is not None:
        raise typer.BadParameter("--dry-run looks at this checkout; leave --revision out")
    options = {"targets": targets, "pull": pull, "jobs": jobs, "keep_going": keep_going}
    try:
        if dry_run:
            _print_plan(targets)
            return
        with show_run():
            faults = _run_plain(options) if plain else _run_flow(options, revision)
        if not faults and revision is None:
            _print_results(Path.cwd())
    except UserError as error:
        faults = str(error)
    except KeyboardInterrupt:
        raise typer.Exit(code=130) from None
    if faults:
        typer.echo(f"\n{faults}", err=True)
        raise typer.Exit(code=1)


def _print_plan(targets: list[str] | None) -> None:
    """Print the stages that a run would make, in its order, each with what has changed."""
    from flows.reproduce.plan import make_plan

    plan = make_plan(Path.cwd(), targets)
    for stage in plan.order:
        if stage in plan.stale:
            why = (
                describe_change(plan.changed[stage])
                if stage in plan.changed
                else "what it needs is made anew"
            )
            typer.echo(f"{stage}: {why}")
    typer.echo(f"{len(plan.stale)} of {len(plan.order)} stages would run.")


def _print_results(root: Path) -> None:
    from flows.reproduce.results import describe_results

    if results := describe_results(root):
        typer.echo(f"\n{results}")


def _run_plain(options: dict[str, Any]) -> str:
    """Run without Prefect; return why the run failed, "" if it did not."""
    from flows.reproduce.run import RunOptions, run_in_threads
    from flows.reproduce.views import current_view, summarize

    run = run_in_threads(Path.cwd(), RunOptions(**options))
    if not run.faults:
        current_view().line("", f"Up to date: {summarize(run.table)}.")
    return "\n\n".join(run.faults)


def _run_flow(options: dict[str, Any], revision: str | None) -> str:
    """Run as a Prefect flow; return why it failed, "" if it did not."""
    # The views show what the stages print; the server gets it all the same.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")
    from flows.server import import_flow

    import_flow("flows.reproduce.flow")
    from flows.reproduce.flow import reproduce

    state = reproduce(root=Path.cwd(), revision=revision, **options, return_state=True)
    return "" if state.is_completed() else state.message or "the flow failed"


if __name__ == "__main__":
    app()
