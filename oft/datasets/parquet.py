"""Rows of a Parquet file as the hub writes them; pictures stay in the file until they are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from oft.datasets.embedded import Embedded
from oft.datasets.layout import captions_in
from oft.errors import DataError
from oft.keys import row_key

BATCH_ROWS = 1024


@dataclass(frozen=True)
class Row:
    """One row: its key in the data set, where its pictures are, and its captions."""

    key: str
    image: Embedded
    annotation: Embedded | None
    captions: tuple[str, ...]


def read_rows(file: Path, key: str, caption_columns: tuple[str, ...], layout: str) -> Iterator[Row]:
    """Yield the rows of a file, in their order; only the captions are read, a batch at a time.

    Args:
        file: a Parquet file with a column ``image`` and, where there is one, ``conditioning_image``: structs
            with ``bytes``, or bytes.
        key: the file's key; a row's is that and its number, so keys are sorted.
        caption_columns: captions are those of the first of these there is.
        layout: what the message about another kind of file asks for.

    Raises:
        DataError: the file is damaged, or has no pictures.
    """
    with _opened(file) as parquet:
        schema = parquet.schema_arrow
        image, annotation = _picture_column(schema, "image"), _picture_column(schema, "conditioning_image")
        if image is None:
            raise DataError(
                f"{file} has no column image that holds pictures, its columns: {', '.join(schema.names)}; "
                f"expected {layout}; rename the column or choose another data set"
            )
        for row, captions in zip(range(_num_rows(parquet)), _captions(parquet, caption_columns), strict=True):
            yield Row(
                row_key(key, row),
                Embedded(file, row, image),
                Embedded(file, row, annotation) if annotation else None,
                captions,
            )


def count_rows(file: Path) -> int:
    """Return how many rows a Parquet file has, from its footer.

    Raises:
        DataError: the file is damaged.
    """
    with _opened(file) as parquet:
        return _num_rows(parquet)


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Yield a Parquet file; what is wrong with it, on opening or in the block, becomes a `DataError`."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        yield ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
    except (ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(f"{file} cannot be read ({error}); copy or download it again") from error


def _num_rows(parquet: Any) -> int:
    """Return how many rows there are, which the footer says twice: a damaged one could say billions."""
    metadata = parquet.metadata
    in_groups = sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    if metadata.num_rows != in_groups:
        raise ValueError(f"its footer counts {metadata.num_rows} rows and {in_groups} in row groups")
    return in_groups


def _captions(parquet: Any, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    column = next((name for name in columns if name in parquet.schema_arrow.names), None)
    if column is None:
        yield from repeat((), _num_rows(parquet))
        return
    for batch in parquet.iter_batches(BATCH_ROWS, columns=[column], use_threads=False):
        for value in batch.column(0).to_pylist():
            yield captions_in(value)


def _picture_column(schema: Any, name: str) -> str | None:
    from pyarrow import types

    if name not in schema.names:
        return None
    kind = schema.field(name).type
    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return f"{name}.bytes"
    return name if types.is_binary(kind) or types.is_large_binary(kind) else None
