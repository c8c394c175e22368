"""How long a run still takes, by the seconds that its stages took before on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.reproduce.run_table import StageRow, Status
from oft.adapters.registry import BASE_ALONE
from oft.storage import read_json

TELEMETRY = Path(".telemetry")
KNOWN_SHARE = 0.8
"""Of the stages to come; with fewer of known duration there is no estimate."""


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

    def left(self, rows: Iterable[StageRow], now: float) -> float | None:
        """Return about how long stages that wait and run still take, seconds; None where too little is known.

        Args:
            now: seconds since the run began.
        """
        left, known, unknown = 0.0, 0, 0
        for row in rows:
            if row.status not in (Status.WAITING, Status.RUNNING):
                continue
            took = self.seconds.get(telemetry_name(row.stage))
            if took is None:
                unknown += 1
            else:
                known += 1
                left += max(took - (row.seconds(now) or 0.0), 0.0)
        return left / self.jobs if known and known >= KNOWN_SHARE * (known + unknown) else None
