"""The command line `oft`: its commands, by their names. Each stands in a file of `oft.commands`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from oft import __version__
from oft.commands.adapter import count_command, energy_command, info_command
from oft.commands.add import control_app, style_app, subject_app
from oft.commands.compare import compare_command
from oft.commands.data import check_command
from oft.commands.doctor import doctor_command
from oft.commands.exchange import export_command, import_command, import_help, merge_command
from oft.commands.generate import generate_command
from oft.commands.profile import profile_command
from oft.commands.publishing import fetch_command, publish_command
from oft.errors import UserError

app = typer.Typer(
    help="Tools around the pipeline; `dvc repro` runs the pipeline itself.",
    no_args_is_help=True,
    add_completion=False,
)
data_app = typer.Typer(help="Tools around data sets.", no_args_is_help=True)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"oft {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Tools around the pipeline; `dvc repro` runs the pipeline itself."""


for _name, _group in (("subject", subject_app), ("style", style_app), ("control", control_app)):
    app.add_typer(_group, name=_name)
app.command("profile")(profile_command)
app.command("doctor")(doctor_command)
app.add_typer(data_app, name="data")
data_app.command("check")(check_command)
app.command("generate")(generate_command)
app.command("info")(info_command)
app.command("energy")(energy_command)
app.command("count")(count_command)
app.command("compare")(compare_command)
app.command("export")(export_command)
app.command("merge")(merge_command)
app.command("import", help=import_help())(import_command)
app.command("publish")(publish_command)
app.command("fetch")(fetch_command)


def main() -> None:
    """Run the command line; a user's fault prints its message alone."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
