"""How long a run still takes, by the seconds that its stages took before on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.reproduce.run_table import StageRow, Status
from oft.adapters.registry import BASE_ALONE
from oft.storage import read_json

TELEMETRY = Path(".telemetry")


def read_seconds(root: Path) -> dict[str, float]:
    """Return the seconds that each stage took last, by the names that stages give themselves."""
    entries = map(read_json, sorted((root / TELEMETRY).glob("*.json")))
    return {entry["stage"]: float(entry["seconds"]) for entry in entries}


def telemetry_name(stage: str) -> str:
    """Return the name that a stage of dvc.yaml gives itself: its script's, and the item it works on.

    ``train_subject@subject_a-oft`` is ``train@subject_a-oft``, ``sample_base@a-0`` is ``sample@a-none-0``.
    """
    script, at, item = stage.partition("@")
    for variant in ("_subject", "_style", "_transfer"):
        if script.removesuffix(variant) in ("encode", "init", "train", "sample", "evaluate", "fit_magnitude"):
            script = script.removesuffix(variant)
    if script.endswith("_base"):
        script = script.removesuffix("_base")
        task, dash, shard = item.rpartition("-") if script == "sample" else (item, "", "")
        item = f"{task}-{BASE_ALONE}{dash}{shard}"
    return f"{script}{at}{item}"


@dataclass(frozen=True)
class Forecast:
    """What is known of a run's stages before it begins.

    Attributes:
        seconds: what each took last, by the names that stages give themselves.
        jobs: stages at a time.
    """

    seconds: Mapping[str, float]
    jobs: int

    def expected(self, stage: str) -> float | None:
        """Return about how long a stage takes: as it took last, else as others of its script did."""
        name = telemetry_name(stage)
        if name in self.seconds:
            return self.seconds[name]
        script = name.partition("@")[0]
        others = [took for other, took in self.seconds.items() if other.partition("@")[0] == script]
        return sum(others) / len(others) if others else None

    def left(self, rows: Iterable[StageRow], now: float) -> float | None:
        """Return about how long stages that wait and run still take, seconds; None where one is not known.

        Args:
            now: seconds since the run began.
        """
        left: list[float] = []
        for row in rows:
            if row.status in (Status.WAITING, Status.RUNNING):
                expected = self.expected(row.stage)
                if expected is None:
                    return None
                left.append(max(expected - (row.seconds(now) or 0.0), 0.0))
        return sum(left) / self.jobs if left else None
