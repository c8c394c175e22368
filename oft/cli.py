"""The command line `oft`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from oft.errors import UserError
from oft.models.architectures import Architecture
from oft.models.counting import Method, Targets

app = typer.Typer(
    help="Tools around the pipeline; `dvc repro` runs the pipeline itself.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def _root() -> None:
    """Tools around the pipeline; `dvc repro` runs the pipeline itself."""


@app.command()
def count(
    architecture: Annotated[Architecture, typer.Option(help="Whose UNet is adapted.")],
    adapter: Annotated[Method, typer.Option(help="Also methods to compare OFT with.")] = "oft",
    targets: Annotated[
        Targets,
        typer.Option(help="control: attention, first feed-forward layer, hint encoder; subject: attention."),
    ] = "control",
    num_blocks: Annotated[
        int | None, typer.Option(help="OFT's blocks in each layer (the paper's r).")
    ] = None,
    block_size: Annotated[int | None, typer.Option(help="Their size, instead of their number.")] = None,
    block_share: Annotated[bool, typer.Option("--block-share", help="One block serves a layer.")] = False,
    rank: Annotated[int | None, typer.Option(help="LoRA's.")] = None,
) -> None:
    """Print how many parameters an adapter trains on a model, without any weights.

    For example: oft count --architecture sd15 --num-blocks 4
    """
    from oft.models.counting import count_trained

    _print_json(
        count_trained(
            architecture,
            adapter,
            targets,
            num_blocks=num_blocks,
            block_size=block_size,
            block_share=block_share,
            rank=rank,
        )
    )


@app.command()
def energy(
    base: Annotated[Path, typer.Argument(help="A placed base: data/models/base.")],
    adapter: Annotated[Path | None, typer.Argument(help="An adapter's folder: runs/TASK/oft/train.")] = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="A table of the layers first.")] = False,
) -> None:
    """Print the hyperspherical energy of a base's layers without and with an adapter, which rotations keep.

    For example: oft energy data/models/base runs/segm_ade20k/oft/train --per-layer
    """
    from oft.evaluation.geometry import report_energy
    from oft.models.base import load_base
    from oft.models.device import choose_device

    summary, layers = report_energy(load_base(base, choose_device()), adapter)
    if per_layer:
        _print_table(layers)
    _print_json({"base": str(base), "adapter": None if adapter is None else str(adapter), **summary})


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="An adapter's folder, or one of its .safetensors files.")],
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Say what a saved adapter is: layers, blocks, convention, base, size; no base is needed.

    For example: oft info runs/segm_ade20k/oft/magnitude
    """
    from oft.exchange.description import describe_adapter

    description = describe_adapter(path)
    if as_json:
        _print_json(description.to_json())
    else:
        typer.echo(description.to_text())


def _print_json(value: dict[str, object]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _print_table(rows: list[dict[str, object]]) -> None:
    """Print rows that have the same keys, their first value a name, the others numbers."""
    name, *numbers = rows[0]
    width = max(len(str(row[name])) for row in rows)
    typer.echo("  ".join([f"{name:<{width}}", *(f"{key:>14}" for key in numbers)]))
    for row in rows:
        typer.echo("  ".join([f"{row[name]:<{width}}", *(f"{row[key]:>14.8g}" for key in numbers)]))


@app.command()
def profile(
    name: Annotated[
        str, typer.Argument(help="A file of conf/profile without .yaml: miniature, full, smoke.")
    ],
    conf: Annotated[Path, typer.Option(help="Folder of the profiles.")] = Path("conf"),
    params: Annotated[Path, typer.Option(help="File to write.")] = Path("params.yaml"),
) -> None:
    """Write a profile's settings to params.yaml, with their comments; the next `make repro` uses them."""
    from oft.profiles import write_profile

    write_profile(conf, name, params)
    typer.echo(f"{params}: profile {name}")


def main() -> None:
    """Run the command line; a user's fault prints its message alone."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
