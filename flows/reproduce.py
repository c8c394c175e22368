"""``python -m flows.reproduce``: run the pipeline through Prefect."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.process import leave_on_signals

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Stages to bring up to date, with all they need: `train@segm_ade20k-oft`, or `train` for "
            "every training. None: the whole pipeline.",
            show_default=False,
        ),
    ] = None,
    pull: Annotated[
        bool, typer.Option("--pull", help="First fetch what others have pushed to the default DVC remote.")
    ] = False,
) -> None:
    """Run the pipeline of dvc.yaml as a Prefect flow: every stage a task, its lines in the log, and at the
    end one page of metrics. Stages that are up to date are skipped, as `dvc repro` skips them; a failing
    stage stops the run.

    Without a server Prefect starts one for the time of the run (some 15 seconds). To watch runs in a browser,
    start one with `prefect server start` and give its address:

    `PREFECT_API_URL=http://127.0.0.1:4200/api python -m flows.reproduce`

    `prefect artifact inspect metrics` prints the page again; `dvc stage list` names the stages, `dvc dag`
    draws them.
    """
    leave_on_signals()
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from flows.pipeline import reproduce  # imports Prefect, seconds that --help must not cost

    state = reproduce(targets=targets, pull=pull, root=Path.cwd(), return_state=True)
    if not state.is_completed():
        typer.echo(f"\n{state.message}", err=True)
        raise typer.Exit(code=1)


if __name__ == "__main__":
    app()
