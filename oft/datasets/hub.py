"""Sets in the two forms of the Hugging Face hub: pictures with a metadata file, and Parquet files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

from oft.datasets.annotations import CONDITIONING_PICTURE
from oft.datasets.layout import captions_in, licence_tag, read_text_file, require_folder, walk
from oft.datasets.listings import Listed, read_listed
from oft.datasets.parquet import count_rows, read_rows
from oft.datasets.prompt_files import read_entries
from oft.datasets.reader import STYLE_SOURCES, Reader
from oft.datasets.splits import named_part, split_rule
from oft.errors import DataError
from oft.keys import row_key, sorted_keys
from oft.types import Counts, Example, Split

LAYOUT = (
    "the hub's layout: pictures with metadata.jsonl or metadata.csv (columns file_name, text and, if there "
    "are any, conditioning_image), at the top or in each of train/ and validation/; or Parquet files "
    "(columns image, text and conditioning_image), data/train-00000-of-00001.parquet"
)
LICENCE = "unspecified"
VAL_PERCENT = 5
CAPTION_COLUMNS = ("text", "caption", "captions", "prompt")
CONDITION_COLUMNS = ("conditioning_image", "conditioning_image_file_name")


def read_hub(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield the pictures of a split, sorted by key; the annotation is the conditioning picture, if any.

    ``val`` is what lies in a folder or Parquet file named ``validation`` (``valid``, ``val``, ``dev``),
    without one what is named ``test``, and without either 5 % of the pictures, chosen by a hash of their
    names. Captions are those of the first column there is of ``text``, ``caption``, ``captions``, ``prompt``.

    Args:
        root: the folder of the set, as ``hf download --repo-type dataset --local-dir`` makes it.
        split: ``train`` or ``val``.
        counts: see `oft.datasets.listings.read_listed`.

    Raises:
        DataError: there is neither form, or a metadata or Parquet file is damaged or lacks a column.
    """
    require_folder(root, LAYOUT)
    licence = licence_tag(root, LICENCE)
    if listings := walk(root, lambda name: name in ("metadata.jsonl", "metadata.csv")):
        listed: dict[str, Listed] = {}
        for listing in listings:
            _add(root, listing, listed)
        parts = {name: named_part(PurePosixPath(name).parent.as_posix()) for name in listed}
        rule = split_rule(set(parts.values()), VAL_PERCENT, listed)
        yield from read_listed(root, listed, split, lambda name: rule(parts[name], name), licence, counts)
    elif files := walk(root, lambda name: name.endswith(".parquet")):
        parts = {name: named_part(PurePosixPath(name).with_suffix("").as_posix()) for name in files}
        rule = split_rule(set(parts.values()), VAL_PERCENT, _row_keys(root, files))
        for key, name in sorted_keys(files):
            part = parts[name]
            for row in read_rows(root / name, key, CAPTION_COLUMNS, LAYOUT):
                if rule(part, row.key) == split:
                    counts.seen += 1
                    yield Example(row.key, row.image, row.annotation, row.captions, split, licence)
    else:
        raise DataError(
            f"{root} has neither metadata.jsonl, metadata.csv nor Parquet files; expected {LAYOUT}; "
            "or choose reader image_folder"
        )


def _row_keys(root: Path, files: list[str]) -> Iterator[str]:
    for key, name in sorted_keys(files):
        yield from (row_key(key, row) for row in range(count_rows(root / name)))


def _add(root: Path, listing: str, listed: dict[str, Listed]) -> None:
    """Add a metadata file's pictures, by their paths below ``root``."""
    folder = PurePosixPath(listing).parent
    for place, entry in _rows(root / listing):
        values = entry if isinstance(entry, dict) else {}
        name = values.get("file_name")
        if not isinstance(name, str):
            raise DataError(f"{root / listing}, {place}: has no file_name; expected {LAYOUT}; mend it")
        condition = _first(values, CONDITION_COLUMNS)
        annotation = (folder / condition).as_posix() if isinstance(condition, str) and condition else None
        about = listed.setdefault((folder / name).as_posix(), Listed(annotation))
        about.captions += captions_in(_first(values, CAPTION_COLUMNS))


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    if path.suffix == ".jsonl":
        yield from read_entries(path)
        return
    yield from _csv_rows(path)


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Yield the rows of a CSV file with a header, each with its line.

    Raises:
        DataError: a quote is not closed, or a row has more fields than the header: a caption with commas.
    """
    header: list[str] = []
    last_line = 0
    rows = csv.reader(io.StringIO(read_text_file(path), newline=""), strict=True)
    try:
        for fields in rows:
            place, last_line = f"line {last_line + 1}", rows.line_num
            if not header:
                header = fields
                continue
            if len(fields) > len(header):
                raise DataError(
                    f"{path}, {place}: has {len(fields)} fields, and the header names {len(header)}; put a "
                    f'caption with commas in quotes ("a red car, on a road")'
                )
            if fields:  # a blank line has none
                yield place, dict(zip_longest(header, fields))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {last_line + 1}: is not valid CSV ({error}); close the quotes around a caption, "
            'and write a quote within one twice ("a ""red"" car")'
        ) from error


def _first(values: dict[str, Any], columns: tuple[str, ...]) -> Any:
    return next((values[column] for column in columns if column in values), None)


READER = Reader(
    "hub",
    "sets of the Hugging Face hub",
    read_hub,
    sources=STYLE_SOURCES,
    brings=(CONDITIONING_PICTURE,),
)
