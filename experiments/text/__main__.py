"""``python -m experiments.text``: what adapters learn on texts, and what the encoder forgets meanwhile."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.arguments import parse_names, parse_seeds
from oft.errors import UserError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")

OUT = Path(".trials/text")

OutOption = Annotated[Path, typer.Option(help="Where results are kept; what lies there is not made again.")]
WheelsOption = Annotated[
    Path | None,
    typer.Option(help="A folder with the two wheels that experiments/text/wheels.json pins. Default: pip."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print what would run, and stop.")]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    out: OutOption = OUT,
    seeds: Annotated[str, typer.Option(help="Seeds, with commas.")] = "0,1,2",
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each training.")] = None,
    adapters: Annotated[str, typer.Option(help="Adapters, with commas. Default: all.")] = "",
    wheels: WheelsOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Train adapters on a small BERT that classifies Reuters R8 and 20 newsgroups, and write `text.parquet`.

    By default there are 36 trainings on one thread: nearly four minutes of processor time each with BOFT,
    well below one with the others. An interrupted command goes on after the last training that it ended.
    """
    if context.invoked_subcommand is not None:
        return
    from experiments.text.arms import ARMS
    from experiments.text.experiment import TABLE, plan_trials, run
    from experiments.text.settings import Settings

    settings = Settings() if steps is None else Settings(steps=steps)
    names = tuple(parse_names(adapters)) or tuple(ARMS)
    chosen = parse_seeds(seeds)
    if dry_run:
        for trial in plan_trials(chosen, settings, names):
            typer.echo(f"{trial.name}: rate {trial.rates.adapter:g}, of the head {trial.rates.head:g}")
        typer.echo(f"{settings}")
        return
    table = run(out, chosen, settings=settings, arms=names, wheels=wheels)
    typer.echo(f"{len(table)} rows written to {out / TABLE}")


@app.command()
def rates(out: OutOption = OUT, wheels: WheelsOption = None) -> None:
    """Choose every arm's learning rate on the validation parts and write experiments/text/rates.json."""
    from experiments.text.grid import choose_rates
    from experiments.text.settings import RATES

    choose_rates(out, wheels=wheels)
    typer.echo(f"written to {RATES}")


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        sys.exit(str(error))
