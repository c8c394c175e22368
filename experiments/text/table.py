"""Results as rows of one tidy table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from oft.storage import atomic_file

if TYPE_CHECKING:
    import pyarrow as pa

EXPERIMENT = "text"
COLUMNS = ("experiment", "task", "adapter", "setting", "seed", "condition", "metric", "value")


class Row(NamedTuple):
    """One number.

    Attributes:
        task: the collection.
        adapter: the arm.
        seed: of the training.
        condition: the document it is of; empty where it is of all.
        metric: what it is.
    """

    task: str
    adapter: str
    seed: int
    condition: str
    metric: str
    value: float


def make_table(rows: Iterable[Row]) -> pa.Table:
    """Return a table of the columns `COLUMNS`; ``setting`` is empty, as arms differ in the adapter alone."""
    import pyarrow as pa

    types = {"seed": pa.int64(), "value": pa.float64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    return pa.Table.from_pylist(
        [{"experiment": EXPERIMENT, "setting": "", **row._asdict()} for row in rows], schema=schema
    )


def write_table(target: Path, table: pa.Table) -> None:
    """Write a table as Parquet, whole or not at all; equal tables give equal bytes."""
    import pyarrow.parquet as pq

    with atomic_file(target) as partial:
        pq.write_table(table, partial, compression="zstd")
