"""The commands for other programs' files: `oft export`, `oft merge`, `oft import`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from oft.commands.output import report_made
from oft.exchange.formats import FORMATS, ExportOptions, Precision, describe_formats, takers
from oft.exchange.formats.format import DEFAULT_ENERGY, MAX_ERROR
from oft.exchange.sources import SOURCES, Cayley, ReadOptions, ScaledBy, Sign

AdapterFolder = Annotated[Path, typer.Argument(help="Folder of the adapter: runs/<task>/<adapter>/train.")]
BaseFolder = Annotated[Path, typer.Argument(help="Folder of the base it was trained on: data/models/base.")]
Dtype = Annotated[
    Precision | None,
    typer.Option(
        "--dtype",
        help=f"Type of the tensors of {', '.join(takers('dtype'))}; by default fp16 for weights, fp32 for "
        "rotations.",
    ),
]
Strength = Annotated[
    float,
    typer.Option(help=f"How much of the adapter goes into {', '.join(takers('strength'))}: 0 none, 1 all."),
]


def import_help() -> str:
    return (
        f"Convert an OFT adapter of {'; '.join(source.program for source in SOURCES)}.\n\n"
        "Nothing in the file is run: safetensors, or PyTorch's own format restricted to tensors.\n\n"
        "Example: oft import model-epoch=19.ckpt runs/imported --base data/models/base"
    )


def export_command(
    adapter: AdapterFolder,
    base: BaseFolder,
    out: Annotated[Path, typer.Argument(help="What to make: a folder, or a file .safetensors.")],
    form: Annotated[
        str,
        typer.Option("--format", metavar="|".join(FORMATS), help=describe_formats()),
    ] = "peft",
    dtype: Dtype = None,
    strength: Strength = 1.0,
    rank: Annotated[
        int | None, typer.Option(help=f"For {', '.join(takers('rank'))}: the rank of each layer.")
    ] = None,
    energy: Annotated[
        float | None,
        typer.Option(
            help=f"For {', '.join(takers('energy'))}: the smallest ranks that keep this share of each "
            f"layer's squared change, {DEFAULT_ENERGY} by default."
        ),
    ] = None,
    allow_error: Annotated[
        bool,
        typer.Option(
            "--allow-error",
            help=f"For {', '.join(takers('allow_error'))}: write a file that loses more than {MAX_ERROR:g} "
            "of the adapter's effect.",
        ),
    ] = False,
) -> None:
    """Write an adapter for another program; docs/exchange.md says which, and how exactly.

    Example: oft export runs/subject_robot_toy/oft/train data/models/base robot --format lora
    """
    from oft.exchange import export_adapter

    options = ExportOptions(strength, rank, energy, allow_error)
    with redirect_stdout(sys.stderr):  # where progress goes to no terminal it is printed
        made = export_adapter(adapter, base, out, form, dtype, options)
    report_made(out, made)


def merge_command(
    adapter: AdapterFolder,
    base: BaseFolder,
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    dtype: Annotated[
        Precision | None, typer.Option("--dtype", help="Type of the weights, fp16 by default.")
    ] = None,
    strength: Annotated[float, typer.Option(help="How much of the adapter goes in: 0 none, 1 all.")] = 1.0,
) -> None:
    """Merge an adapter into its base: a whole checkpoint in diffusers' layout (export --format diffusers).

    Example: oft merge runs/subject_robot_toy/oft/train data/models/base robot
    """
    from oft.exchange import export_adapter

    options = ExportOptions(strength)
    report_made(out, export_adapter(adapter, base, out, "diffusers", dtype, options))


def import_command(
    file: Annotated[Path, typer.Argument(help="File or folder of another program's OFT adapter.")],
    out: Annotated[
        Path,
        typer.Argument(help="Folder to make; of a file that becomes weights also a file .safetensors of ΔW."),
    ],
    base: Annotated[Path, typer.Option(help="Folder of the base the adapter was trained on.")],
    cayley: Annotated[
        Cayley,
        typer.Option(
            help="Of a truncated transform take exact: the rotation it approximates. neumann: its own "
            "product, no rotation, written as weights."
        ),
    ] = "exact",
    reference: Annotated[
        Sign,
        typer.Option(help="The sign a file of the reference implementation has: of its later or first code."),
    ] = "current",
    coft_eps: Annotated[
        float | None,
        typer.Option(help="--eps of a reference training with --coft, where the file does not record it."),
    ] = None,
    scaled_by: Annotated[
        ScaledBy,
        typer.Option(
            help="What a file of OneTrainer's scaled OFT is divided by: 2 √(b - 1), or the root of a block's "
            "number of entries, as its first releases did."
        ),
    ] = "block",
    allow_error: Annotated[
        bool,
        typer.Option(
            "--allow-error",
            help=f"Take exact rotations that lose more than {MAX_ERROR:g} of the file's effect; leave out "
            "its text encoders.",
        ),
    ] = False,
    dtype: Annotated[
        Precision | None, typer.Option("--dtype", help="Type of weights, fp16 by default.")
    ] = None,
) -> None:
    from oft.exchange import import_adapter

    options = ReadOptions(cayley, reference, coft_eps, scaled_by, allow_error)
    report_made(out, import_adapter(file, base, out, options=options, precision=dtype))
