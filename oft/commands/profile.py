"""The command `oft profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def profile_command(
    name: Annotated[
        str, typer.Argument(help="A file of conf/profile without .yaml: miniature, compare, full, smoke.")
    ],
    conf: Annotated[Path, typer.Option(help="Folder of the profiles.")] = Path("conf"),
    params: Annotated[Path, typer.Option(help="File to write.")] = Path("params.yaml"),
) -> None:
    """Write a profile's settings to params.yaml, with their comments; the next `make repro` uses them."""
    from oft.profiles import write_profile

    write_profile(conf, name, params)
    typer.echo(f"{params}: profile {name}")
