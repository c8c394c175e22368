"""How commands print what they found and made."""

from __future__ import annotations

import json
from pathlib import Path

import typer


def print_json(value: dict[str, object]) -> None:
    """Print values as one line of JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def print_table(rows: list[dict[str, object]]) -> None:
    """Print rows that have the same keys, their first value a name, the others numbers."""
    name, *numbers = rows[0]
    width = max(len(str(row[name])) for row in rows)
    typer.echo("  ".join([f"{name:<{width}}", *(f"{key:>14}" for key in numbers)]))
    for row in rows:
        typer.echo("  ".join([f"{row[name]:<{width}}", *(f"{row[key]:>14.8g}" for key in numbers)]))


def report_made(made: Path, notes: list[str]) -> None:
    """Print what a command made, and on standard error what its user should know."""
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(made)
