"""Rows of the tables that ``dvc plots`` and the report draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from oft.errors import DataError

if TYPE_CHECKING:
    from jaxtyping import Int64

REST = "(rest)"
"""The column that gathers predictions outside the classes shown."""


def confusion_rows(
    confusion: Int64[np.ndarray, "c c"], names: Sequence[str], most_frequent: int
) -> list[dict[str, Any]]:
    """Return a long table {actual, predicted, share} of the ``most_frequent`` classes of the truth.

    ``share`` is the part of the actual class's pixels, so each class's rows sum to 1; what was predicted
    outside the classes shown is gathered under ``REST``. Classes come in order of falling frequency, absent
    ones never.

    Raises:
        DataError: the number of names is not the number of classes.
    """
    if len(names) != len(confusion):
        raise DataError(
            f"{len(names)} class names for {len(confusion)} classes; "
            "give one name per id, the ignored one included"
        )
    actual = confusion.sum(axis=1)
    order = [int(i) for i in np.argsort(-actual, kind="stable")[:most_frequent] if actual[i] > 0]
    rows: list[dict[str, Any]] = []
    for i in order:
        columns = [(names[j], confusion[i, j]) for j in order]
        columns.append((REST, actual[i] - confusion[i, order].sum()))
        rows.extend(
            {"actual": names[i], "predicted": name, "share": float(pixels / actual[i])}
            for name, pixels in columns
        )
    return rows
