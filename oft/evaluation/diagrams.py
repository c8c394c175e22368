"""Rows of the tables that ``dvc plots`` and the report draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from oft.errors import DataError

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

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


def histogram_rows(series: Mapping[str, Float[np.ndarray, " _"]], num_bins: int) -> list[dict[str, Any]]:
    """Return a long table {series, low, high, count, share}: histograms over one set of equal bins.

    The bins span all finite values of all series; values that are not finite are not counted.

    Raises:
        DataError: no series has a finite value.
    """
    finite = {name: np.asarray(values)[np.isfinite(values)] for name, values in series.items()}
    pooled = np.concatenate([*finite.values(), np.empty(0)])
    if pooled.size == 0:
        raise DataError(f"no finite value in the series {sorted(series)}; nothing to draw")
    edges = np.histogram_bin_edges(pooled, bins=num_bins)
    return [
        {
            "series": name,
            "low": float(low),
            "high": float(high),
            "count": int(count),
            "share": float(count / max(len(values), 1)),
        }
        for name, values in finite.items()
        for low, high, count in zip(edges[:-1], edges[1:], np.histogram(values, bins=edges)[0], strict=True)
    ]
