"""The one tidy table that experiments write: a number a row, as Parquet.

Columns: ``experiment``, ``task``, ``adapter``, ``setting`` (what differs from the experiment's own settings,
'' for nothing), ``seed``, ``condition`` (what is paired: a picture, a document, an equation's setting; '' for
a number of a whole run), ``metric``, ``value``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from oft.errors import DataError
from oft.storage import atomic_file

if TYPE_CHECKING:
    import pandas as pd


class Row(NamedTuple):
    """One number."""

    experiment: str
    task: str
    adapter: str
    setting: str
    seed: int
    condition: str
    metric: str
    value: float


COLUMNS = Row._fields


def to_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Return rows as a table in its order."""
    import pandas as pd

    return in_order(pd.DataFrame(list(rows), columns=list(COLUMNS)))


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in the one order and with the types that make equal tables equal files."""
    typed = table.astype({"seed": "int64", "value": "float64"})
    return typed.sort_values(list(COLUMNS[:-1]), kind="stable", ignore_index=True)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all; equal tables make equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as partial:
        table.to_parquet(partial, index=False, compression="zstd")


def read_table(path: Path) -> pd.DataFrame:
    """Return a table; an empty one where there is no file.

    Raises:
        DataError: the file is no such table.
    """
    import pandas as pd

    if not path.exists():
        return to_table(())
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as a Parquet table ({error}); restore it from git, or remove it to "
            "measure everything again"
        ) from error
    if tuple(table.columns) != COLUMNS:
        raise DataError(f"{path} must have the columns {', '.join(COLUMNS)}, not {', '.join(table.columns)}")
    return table
