"""What is known of each run beside its scores: its commit, and what it cost where it was trained.

Seconds and memory vary from run to run, so they are no scores: they stand in ``runs.json`` beside the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.claims.table import Run
from oft.errors import DataError
from oft.storage import read_json, write_json


@dataclass(frozen=True)
class Cost:
    """What a training took on the machine that it ran on.

    Attributes:
        seconds_per_step: a mean over the training, its validations included.
        peak_memory_bytes: of the process.
    """

    seconds_per_step: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Record:
    """Where a run comes from.

    Attributes:
        commit: of the pipeline.
        digest: of settings and code; a run under another digest is another run.
        cost: None where the training came from a cache.
    """

    commit: str
    digest: str
    cost: Cost | None = None


def read_records(path: Path) -> dict[Run, Record]:
    """Return the records of runs; none where there is no file.

    Raises:
        DataError: the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        return {_run(entry): _record(entry) for entry in read_json(path)}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error!r}); restore it from git") from error


def write_records(path: Path, records: Mapping[Run, Record]) -> None:
    """Write records, sorted by run, whole or not at all."""
    write_json(path, [{**run._asdict(), **asdict(record)} for run, record in sorted(records.items())])


def costs_of(records: Mapping[Run, Record], task: str, adapter: str, setting: str) -> list[Cost]:
    """Return what an adapter's trainings cost under a setting, one for each seed where it is known."""
    return [
        record.cost
        for run, record in sorted(records.items())
        if record.cost is not None and run[:3] == (task, adapter, setting)
    ]


def fastest(records: Mapping[Run, Record], task: str, adapter: str, settings: Iterable[str]) -> float | None:
    """Return an adapter's least seconds a step under any of the settings; None where none is known.

    What else the machine does can only slow a training, so the least is nearest to what one takes alone.
    """
    costs = [cost for setting in settings for cost in costs_of(records, task, adapter, setting)]
    return min((cost.seconds_per_step for cost in costs), default=None)


def _run(entry: Mapping[str, Any]) -> Run:
    return Run(entry["task"], entry["adapter"], entry["setting"], int(entry["seed"]))


def _record(entry: Mapping[str, Any]) -> Record:
    cost = entry["cost"]
    return Record(entry["commit"], entry["digest"], Cost(**cost) if cost else None)


def commits_of(records: Iterable[Record]) -> tuple[str, ...]:
    """Return the commits of records, each once, sorted."""
    return tuple(sorted({record.commit for record in records}))
