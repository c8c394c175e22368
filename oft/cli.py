"""The command line `oft`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

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


def main() -> None:
    """Run the command line; a user's fault prints its message alone."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
