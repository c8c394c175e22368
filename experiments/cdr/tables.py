"""Every number of the experiment as one tidy table, in Parquet and in pandas."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from oft.storage import atomic_file

if TYPE_CHECKING:
    import pyarrow as pa

EXPERIMENT = "cdr"


class TidyRow(NamedTuple):
    """One number.

    Attributes:
        experiment: which one this is of.
        task: the equation that was adapted to.
        adapter: the arm.
        setting: ``step=N`` after that many steps, empty at the end.
        seed: of the pretrained network and the points.
        condition: what is paired between arms: the equation.
        metric: ``relative_l2``, ``max_error``, ``trained_parameters`` or ``forgetting``.
        value: the number.
    """

    experiment: str
    task: str
    adapter: str
    setting: str
    seed: int
    condition: str
    metric: str
    value: float


def to_table(rows: Iterable[TidyRow]) -> pa.Table:
    """Return rows as a table of one schema, text, int64 and float64."""
    import pyarrow as pa

    kinds = {"seed": pa.int64(), "value": pa.float64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in TidyRow._fields])
    columns = zip(*rows, strict=True)
    return pa.table(dict(zip(TidyRow._fields, map(list, columns), strict=True)), schema=schema)


def write_table(target: Path, table: pa.Table) -> None:
    """Write a table, whole or not at all; equal tables give equal bytes."""
    from pyarrow.parquet import write_table as write_parquet

    with atomic_file(target) as partial:
        write_parquet(table, partial, compression="zstd")
