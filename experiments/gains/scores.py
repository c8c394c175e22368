"""Read what the stage ``evaluate`` wrote, and lay the scores of arms side by side by condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.gains.intervals import (
    ValueOfTotals,
    mean_iou,
    mean_recall,
    mean_score,
    pixel_accuracy,
)
from oft.errors import DataError
from oft.evaluation.measure import COUNTED_PICTURES
from oft.evaluation.metric import SUBJECT
from oft.evaluation.registry import find_metric, headline_metrics
from oft.storage import read_json

if TYPE_CHECKING:
    from jaxtyping import Float64

FILES = ("metrics.json", "plots/per_image.json", "plots/per_target.json", "plots/class_counts.json")
"""What is read of runs/<task>/<adapter>."""

# Their scores are of the targets, whichever adapter they were measured beside.
TARGET_ARMS = {"_reconstruction": "VAE ceiling", "_ceiling": "real pictures"}
"""The arms beside the adapters, by the suffix of their metrics; no adapter can have such a name."""
TEXT_FIT = "clip_t"

COUNTED: Mapping[str, ValueOfTotals] = {
    "miou": mean_iou,
    "macc": mean_recall,
    "aacc": pixel_accuracy,
    "part_miou": mean_iou,
    "part_accuracy": pixel_accuracy,
}
"""Metrics over the pixels of all pictures, and how the sums give them; others are means over pictures."""

Rows = Sequence[Mapping[str, Any]]
ConditionRows = dict[str, "Float64[np.ndarray, ' columns']"]
"""The columns of each condition, by its key."""


@dataclass(frozen=True)
class Measured:
    """One adapter on one task in one run.

    Attributes:
        metrics: of all its pictures.
        pictures: a row with key, index and scores for each generated picture.
        targets: a row with key and scores for each target.
        counts: a row for each picture with the pixels of each class, by what the pictures are.
    """

    metrics: Mapping[str, Any]
    pictures: Rows
    targets: Rows
    counts: Mapping[str, Rows]


def read_measured(folder: Path) -> Measured:
    """Return what the stage ``evaluate`` wrote into ``folder``, runs/<task>/<adapter>.

    Raises:
        DataError: a file is not there.
    """
    files = [folder / name for name in FILES]
    if missing := [path for path in files if not path.is_file()]:
        raise DataError(f"{missing[0]} is missing; remove {folder} and run again")
    return Measured(*map(read_json, files))


def compared_metrics(condition: str, measured: Measured) -> list[str]:
    """Return the metrics that a task is compared by: those that say whether it was learned, then text fit.

    A metric that neither each picture has nor pixel counts give (FID) cannot be resampled and is left out.
    """
    wanted = dict.fromkeys((*headline_metrics(condition), TEXT_FIT))
    return [name for name in wanted if _has_rows(name, measured)]


def _has_rows(name: str, measured: Measured) -> bool:
    if name in COUNTED and measured.counts:
        return True
    metric = find_metric(name)
    return metric is not None and metric.per_picture and any(name in row for row in measured.pictures)


def choose_value(metric: str, measured: Measured) -> ValueOfTotals:
    """Return how a metric is made from sums over conditions."""
    return COUNTED[metric] if _is_counted(metric, measured) else mean_score


def _is_counted(metric: str, measured: Measured) -> bool:
    return metric in COUNTED and bool(measured.counts)


def shares_conditions(condition: str, source: str) -> bool:
    """Return whether runs of other seeds are measured on the same conditions.

    The prompts of a subject are, and so is a data set that is read; only the miniature world renders others.

    Args:
        condition: the task's, `SUBJECT` for a subject.
        source: ``acquire.source`` of its data set.
    """
    return condition == SUBJECT or source != "world"


def lay_out(
    metric: str, arms: Mapping[str, Sequence[Measured]], *, shared_conditions: bool = False
) -> tuple[list[str], list[Float64[np.ndarray, "_ arms columns"]]]:
    """Return the names of the arms and, for each seed, the columns of each arm for each condition.

    The repeats of one condition are summed: they resemble each other, and conditions are what is resampled.

    Args:
        arms: for each adapter one `Measured` a seed; targets become arms of their own where they have scores.
        shared_conditions: all seeds have the same conditions, and the rows come in their order.

    Raises:
        DataError: arms were measured on other conditions than others.
    """
    per_seed = [dict(zip(arms, found, strict=True)) for found in zip(*arms.values(), strict=True)]
    width = max(_num_classes(one) for found in arms.values() for one in found)
    laid = [_arms_of_seed(metric, found, width) for found in per_seed]
    names = [name for name in laid[0] if all(name in found for found in laid)]
    keys = [sorted(_common_keys(metric, {name: found[name] for name in names})) for found in laid]
    if shared_conditions and any(found != keys[0] for found in keys):
        raise DataError(
            f"{metric}: the seeds should share their conditions and have others: {_first_odd(keys)}; give "
            "the seeds the same data"
        )
    tables = [
        np.stack([np.stack([found[name][key] for name in names]) for key in ordered])
        for found, ordered in zip(laid, keys, strict=True)
    ]
    return names, tables


def _arms_of_seed(metric: str, arms: Mapping[str, Measured], width: int) -> dict[str, ConditionRows]:
    """Return the columns of every arm of one seed by condition; the targets' arms come last."""
    first = next(iter(arms.values()))
    counted = _is_counted(metric, first)
    found = {
        name: _count_columns(one.counts[COUNTED_PICTURES[""]], width)
        if counted
        else _score_columns(one.pictures, metric)
        for name, one in arms.items()
    }
    conditions = found[next(iter(arms))]
    for suffix, name in TARGET_ARMS.items():
        named = f"{metric}{suffix}"
        if counted:
            found[name] = _count_columns(first.counts[COUNTED_PICTURES[suffix]], width)
        elif any(named in row for row in first.targets):
            found[name] = _score_columns(first.targets, named)
        elif first.metrics.get(named) is not None:
            # It is known for all pictures together alone, and does not vary with the conditions drawn.
            found[name] = dict.fromkeys(conditions, np.array([float(first.metrics[named]), 1.0]))
    return found


def _common_keys(metric: str, arms: Mapping[str, ConditionRows]) -> set[str]:
    keys = [set(columns) for columns in arms.values()]
    if any(found != keys[0] for found in keys):
        raise DataError(
            f"{metric}: {', '.join(arms)} must be measured on the same conditions and are not: "
            f"{_first_odd(keys)}; run those that are older again"
        )
    return keys[0]


def _first_odd(keys: Sequence[Iterable[str]]) -> str:
    first, *others = [set(found) for found in keys]
    odd = sorted(first.union(*others) - first.intersection(*others))
    return f"{odd[0]} is only in some" if odd else "none"


def _score_columns(rows: Rows, name: str) -> ConditionRows:
    """Return sum and number of a score for each condition; a picture without it counts for neither."""
    columns: ConditionRows = {}
    for row in rows:
        score = row.get(name)
        counted = np.array([0.0, 0.0] if score is None else [float(score), 1.0])
        columns[row["key"]] = columns.get(row["key"], np.zeros(2)) + counted
    return columns


def _count_columns(rows: Rows, width: int) -> ConditionRows:
    """Return hits, actual and predicted pixels, class by class, for each condition."""
    columns: ConditionRows = {}
    for row in rows:
        counts = np.zeros((3, width))
        counts[:, row["classes"]] = [row["hits"], row["actual"], row["predicted"]]
        columns[row["key"]] = columns.get(row["key"], np.zeros(3 * width)) + counts.reshape(-1)
    return columns


def _num_classes(measured: Measured) -> int:
    ids = (number for rows in measured.counts.values() for row in rows for number in row["classes"])
    return max(ids, default=0) + 1
