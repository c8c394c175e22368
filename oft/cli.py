"""The command line `oft`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from oft.errors import UserError

app = typer.Typer(
    help="Tools around the pipeline; `dvc repro` runs the pipeline itself.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def _root() -> None:
    """Tools around the pipeline; `dvc repro` runs the pipeline itself."""


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


AdapterFolder = Annotated[Path, typer.Argument(help="Folder of the adapter: runs/<task>/<adapter>/train.")]
BaseFolder = Annotated[Path, typer.Argument(help="Folder of the base it was trained on: data/models/base.")]
Dtype = Annotated[
    Literal["fp32", "fp16"], typer.Option("--dtype", help="Type of the weights in delta and diffusers.")
]


@app.command("export")
def export_command(
    adapter: AdapterFolder,
    base: BaseFolder,
    out: Annotated[Path, typer.Argument(help="What to make: a folder; for delta a file .safetensors.")],
    form: Annotated[
        Literal["peft", "delta", "diffusers"],
        typer.Option(
            "--format",
            help="peft: for PeftModel.from_pretrained. delta: weight differences, which AUTOMATIC1111 and "
            "ComfyUI load like a LoRA. diffusers: a merged checkpoint, for "
            "StableDiffusionPipeline.from_pretrained.",
        ),
    ] = "peft",
    dtype: Dtype = "fp32",
) -> None:
    """Write an adapter for another program.

    Magnitudes are in delta and diffusers; the hint encoder, which no other format has a place for, in none.

    Example: oft export runs/subject_robot/oft/train data/models/base robot.safetensors --format delta
    """
    from oft.exchange import export_adapter

    _report(out, export_adapter(adapter, base, out, form, dtype))


@app.command("merge")
def merge_command(
    adapter: AdapterFolder,
    base: BaseFolder,
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    dtype: Dtype = "fp32",
) -> None:
    """Merge an adapter into its base: a whole checkpoint in diffusers' layout (export --format diffusers).

    Example: oft merge runs/subject_robot/oft/train data/models/base robot
    """
    from oft.exchange import export_adapter

    _report(out, export_adapter(adapter, base, out, "diffusers", dtype))


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="File or folder of another program's OFT adapter.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    base: Annotated[Path, typer.Option(help="Folder of the base the adapter was trained on.")],
    cayley: Annotated[
        Literal["exact", "neumann"],
        typer.Option(
            help="Of PEFT's truncated transform take exact: the rotation it approximates. neumann: its own "
            "product, no rotation, written as merged weights (OUT: a folder, or a file .safetensors of ΔW)."
        ),
    ] = "exact",
    reference: Annotated[
        Literal["current", "early"],
        typer.Option(help="The sign a file of the reference implementation has: of its later or first code."),
    ] = "current",
    coft_eps: Annotated[
        float | None,
        typer.Option(help="--eps of a reference training with --coft, where the file does not record it."),
    ] = None,
    dtype: Dtype = "fp32",
) -> None:
    """Convert an OFT adapter of PEFT (0.14 and later) or of the paper's reference implementation.

    Nothing in the file is run: safetensors, or PyTorch's own format restricted to tensors.

    Example: oft import model-epoch=19.ckpt runs/imported --base data/models/base
    """
    from oft.exchange import import_adapter

    _report(
        out,
        import_adapter(file, base, out, cayley=cayley, sign=reference, coft_eps=coft_eps, precision=dtype),
    )


def _report(made: Path, notes: list[str]) -> None:
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(made)


def main() -> None:
    """Run the command line; a user's fault prints its message alone."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
