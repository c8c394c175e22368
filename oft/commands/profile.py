"""The command `oft profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oft.profiles import list_profiles

CONF = Path("conf")


def describe_name() -> str:
    """Return the help of a profile's name: those that there are, where conf/ is here."""
    names = ", ".join(list_profiles(CONF))
    return (
        f"A file of conf/profile without .yaml: {names}."
        if names
        else "A file of conf/profile without .yaml."
    )


def profile_command(
    name: Annotated[str, typer.Argument(help=describe_name())],
    conf: Annotated[Path, typer.Option(help="Folder of the profiles.")] = CONF,
    params: Annotated[Path, typer.Option(help="File to write.")] = Path("params.yaml"),
) -> None:
    """Write a profile's settings to params.yaml, with their comments; the next `make repro` uses them."""
    from oft.profiles import write_profile

    write_profile(conf, name, params)
    typer.echo(f"{params}: profile {name}")
