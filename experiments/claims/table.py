"""Runs of the pipeline as rows of the tidy table (`experiments.tidy`), made of what ``evaluate`` wrote.

Their experiment is ``pipeline``: several questions may use one run. A condition is a picture,
``<key>#<repeat>``; a metric ``pixels/<whose>/<class>/found``, ``/true`` or ``/predicted`` counts pixels, of
which scores over one confusion matrix are made anew for whatever pictures a resample draws.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.gains.scores import Measured
from experiments.tidy import Row, in_order, to_table

if TYPE_CHECKING:
    import pandas as pd

PIPELINE = "pipeline"
PIXELS = "pixels"
COUNTS = ("found", "true", "predicted")


class Run(NamedTuple):
    """What names one training with its pictures."""

    task: str
    adapter: str
    setting: str
    seed: int


def rows_of(run: Run, measured: Measured) -> Iterator[Row]:
    """Yield every number that was measured of a run."""
    for name, value in _numbers(measured.metrics):
        yield Row(PIPELINE, *run, "", name, value)
    for picture in measured.pictures:
        condition = f"{picture['key']}#{picture['index']}"
        for name, value in _numbers(picture):
            yield Row(PIPELINE, *run, condition, name, value)
    for picture in measured.class_pixels:
        condition = f"{picture['key']}#{picture['index']}"
        for whose, classes in picture.items():
            if whose in ("key", "index"):
                continue
            for index, counts in classes.items():
                for count, number in zip(COUNTS, counts, strict=True):
                    metric = f"{PIXELS}/{whose}/{index}/{count}"
                    yield Row(PIPELINE, *run, condition, metric, float(number))


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in sorted(values.items()):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and name not in ("index", "seed"):
            yield name, float(value)


def measured_of(table: pd.DataFrame) -> Measured:
    """Return one run's rows as `rows_of` took them."""
    metrics: dict[str, float] = {}
    scores: dict[str, dict[str, Any]] = defaultdict(dict)
    pixels: dict[str, dict[str, dict[str, list[int]]]] = defaultdict(lambda: defaultdict(dict))
    for condition, metric, value in zip(table["condition"], table["metric"], table["value"], strict=True):
        if not condition:
            metrics[metric] = float(value)
        elif metric.startswith(f"{PIXELS}/"):
            _, whose, index, count = metric.split("/")
            pixels[condition][whose].setdefault(index, [0, 0, 0])[COUNTS.index(count)] = int(value)
        else:
            scores[condition][metric] = float(value)
    return Measured(
        metrics,
        [{**_picture(condition), **found} for condition, found in scores.items()],
        [{**_picture(condition), **found} for condition, found in pixels.items()],
    )


def _picture(condition: str) -> dict[str, Any]:
    key, _, index = condition.rpartition("#")
    return {"key": key, "index": int(index)}


def runs_in(table: pd.DataFrame) -> dict[Run, pd.DataFrame]:
    """Return the rows of each run of the pipeline."""
    own = table[table["experiment"] == PIPELINE]
    grouped = own.groupby(list(Run._fields), observed=True, sort=True)
    return {Run(task, adapter, setting, int(seed)): rows for (task, adapter, setting, seed), rows in grouped}


def replace_runs(table: pd.DataFrame, runs: Iterable[Run], rows: Iterable[Row]) -> pd.DataFrame:
    """Return a table in which rows take the place of whatever it held of the runs."""
    import pandas as pd

    gone = set(runs)
    names = zip(*(table[field] for field in Run._fields), strict=True)
    is_gone = [Run(*name) in gone for name in names]
    kept = table[~((table["experiment"] == PIPELINE) & pd.Series(is_gone, index=table.index, dtype=bool))]
    new = to_table(rows)
    return in_order(pd.concat([kept, new], ignore_index=True)) if len(kept) else new
