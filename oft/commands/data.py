"""The command `oft data check`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from oft.commands.output import print_json
from oft.datasets.registry import READERS
from oft.errors import UserError


def check_command(
    dataset: Annotated[
        str,
        typer.Option(
            help=f"The reader for its layout: {', '.join(READERS)} (docs/datasets.md shows each layout)."
        ),
    ],
    root: Annotated[Path, typer.Option(help="Folder of the data set.")],
    captions: Annotated[
        str,
        typer.Option(help="Where captions come from, as captions.source: own, blip, or a prompt file."),
    ] = "own",
    resolution_px: Annotated[
        int | None,
        typer.Option(
            min=8, help="The run's size: what is below half of it is dropped. Default: params.yaml's."
        ),
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option(
            help="The run's condition, as in the settings. Default: one made of the picture alone (canny, "
            "...), which drops no picture for its annotation; what is wrong with annotations is told apart."
        ),
    ] = None,
) -> None:
    """Decode every picture and annotation of a data set, and say what a run would keep, drop and why.

    Prints one line of JSON, and on standard error the first faulty files with the remedy. Status 0: a run
    can sample, even if pictures are dropped; 1: the layout was not read, or nothing is kept to sample for.
    Nothing is written.

    For example: oft data check --dataset ade20k --root /data/ADEChallengeData2016 --captions blip
    """
    from oft.params import PARAMS_FILE, load_params
    from oft.prepare.checking import check_dataset, find_shortage, summarize
    from oft.prepare.drops import describe_drops
    from oft.types import Counts

    if resolution_px is None and PARAMS_FILE.is_file():
        resolution_px = load_params().resolution_px
    with redirect_stdout(sys.stderr):  # where progress goes to no terminal it is printed
        counts = check_dataset(dataset, root, captions, resolution_px, condition, unfit := Counts())
    for split, tally in counts.items():
        for line in describe_drops(tally):
            typer.echo(f"{split}: {line}", err=True)
    if unfit.dropped:
        typer.echo(
            "kept, as no --condition is given, and with one made of the annotation dropped:",
            err=True,
        )
    for line in describe_drops(unfit):
        typer.echo(f"annotation: {line}", err=True)
    assumed: dict[str, object] = {
        "captions": captions,
        "condition": condition,
        "resolution_px": resolution_px,
    }
    print_json(assumed | summarize(dataset, root, counts) | {"unfit": dict(sorted(unfit.dropped.items()))})
    if shortage := find_shortage(dataset, counts):
        raise UserError(f"{root}: {shortage}")
    if not counts["train"].kept:
        typer.echo(
            "no picture is for training: the set can only try adapters (base_tasks, transfers)", err=True
        )
