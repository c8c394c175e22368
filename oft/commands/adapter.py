"""The commands that look at an adapter: `oft count`, `oft energy`, `oft info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oft.commands.output import print_json, print_table
from oft.models.architectures import Architecture
from oft.models.counting import Method, Targets


def count_command(
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

    print_json(
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


def energy_command(
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
        print_table(layers)
    print_json({"base": str(base), "adapter": None if adapter is None else str(adapter), **summary})


def info_command(
    path: Annotated[
        Path,
        typer.Argument(
            help="An adapter's folder, one of its .safetensors files, or a picture drawn with it."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Say what a saved adapter is: layers, blocks, convention, base, size; no base is needed.

    Of a picture of `oft generate` it says the settings that it was drawn with.

    For example: oft info runs/segm_ade20k/oft/magnitude
    """
    from oft.exchange.description import describe_adapter
    from oft.generation.png import read_settings

    if path.suffix.lower() == ".png":
        settings = read_settings(path)
        if as_json:
            print_json(settings)
        else:
            typer.echo("\n".join(f"{name}: {value}" for name, value in settings.items()))
        return
    description = describe_adapter(path)
    if as_json:
        print_json(description.to_json())
    else:
        typer.echo(description.to_text())
