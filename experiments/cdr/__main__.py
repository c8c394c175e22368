"""``python -m experiments.cdr``: adapt a pretrained physics-informed network to other equations."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.arguments import parse_seeds
from oft.errors import UserError

if TYPE_CHECKING:
    from experiments.cdr.experiment import Plan

OUT = Path(".trials/cdr")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")


@app.command()
def command(
    out: Annotated[
        Path, typer.Option(help="Where results are kept; an interrupted run goes on there.")
    ] = OUT,
    seeds: Annotated[str, typer.Option(help="Seeds, with commas.")] = "0,1,2",
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each arm; 200 if left out.")] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Choose the learning rates instead, on equations that are not reported, and write "
            "experiments/cdr/learning_rates.json.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the settings and what would be trained, and stop.")
    ] = False,
) -> None:
    """Adapt a physics-informed network to other coefficients by OFT, COFT, LoRA, BOFT and in full.

    Writes `cdr.parquet`, a tidy table of errors against a reference solution, and prints its means with
    intervals. On one core, about five minutes.
    """
    if sweep:
        _sweep(out, steps, dry_run)
        return
    from experiments.cdr.experiment import Plan

    plan = Plan(seeds=parse_seeds(seeds))
    if steps is not None:
        plan = dataclasses.replace(plan, protocol=dataclasses.replace(plan.protocol, steps=steps))
    if dry_run:
        _print_plan(out, plan)
        return
    from experiments.cdr.experiment import TABLE_FILE, run
    from experiments.cdr.summary import render

    table = run(out, plan)
    print(render(table))
    print(f"{len(table)} rows: {out / TABLE_FILE}")


def _sweep(out: Path, steps: int | None, dry_run: bool) -> None:
    from experiments.cdr.protocol import VALIDATION, Protocol
    from experiments.cdr.sweep import RATES, RATES_FILE, TRAINED_ARMS, protocol_settings
    from experiments.cdr.sweep import sweep as choose

    protocol = Protocol() if steps is None else Protocol(steps=steps)
    if dry_run:
        print(json.dumps(protocol_settings(protocol, TRAINED_ARMS), indent=2))
        print(f"{len(TRAINED_ARMS) * len(RATES) * len(VALIDATION)} trainings, at most; writes {RATES_FILE}")
        return
    for arm, rate in choose(out, protocol=protocol).items():
        print(f"{arm}: {rate:g}")


def _print_plan(out: Path, plan: Plan) -> None:
    from experiments.cdr.experiment import cell_key
    from experiments.cdr.folder import RunFolder

    print(json.dumps(plan.settings(), indent=2))
    cells = plan.cells()
    done = 0
    if out.is_dir():
        folder = RunFolder(out, plan.settings())
        done = sum(folder.has(*cell_key(*cell)) for cell in cells)
    print(f"{len(cells)} trainings, {done} of them done")


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
