"""How long a run still takes, by the seconds that its stages took before: on this machine, else on ours.

``python -m flows.reproduce.durations`` keeps what the stages of the folder at hand took as ours; it is for
whoever changes what the default run does, after a run of nothing but it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.reproduce.run_table import StageRow, Status
from oft.adapters.registry import BASE_ALONE
from oft.params import PARAMS_FILE
from oft.storage import load_yaml, read_json, write_json

TELEMETRY = Path(".telemetry")
WALKED = TELEMETRY / "run" / "seconds.json"
TYPICAL = Path(__file__).with_name("typical.json")
"""Seconds of the default's stages, a first run on two quiet cores, and the settings that they go with."""

SIZES = ("base", "resolution_px", "train", "train_subject", "fit_magnitude", "sample")
"""Sections of params.yaml under which a stage takes as long as another of its script."""


def read_seconds(root: Path) -> dict[str, float]:
    """Return the seconds that each stage took last, by the names that stages give themselves.

    What a run measured counts before what the stage did itself, which leaves out its start and DVC's hashing.
    """
    entries = map(read_json, sorted((root / TELEMETRY).glob("*.json")))
    own = {entry["stage"]: float(entry["seconds"]) for entry in entries}
    return own | _walked(root)


def keep_seconds(root: Path, rows: Iterable[StageRow], now: float) -> None:
    """Keep what the stages took that were made in a run, for the forecasts of later ones."""
    took = {telemetry_name(row.stage): row.seconds(now) for row in rows if row.status is Status.DONE}
    made = {name: round(seconds, 1) for name, seconds in took.items() if seconds is not None}
    if made:
        write_json(root / WALKED, _walked(root) | made)


def _walked(root: Path) -> dict[str, float]:
    file = root / WALKED
    return read_json(file) if file.is_file() else {}


def read_typical(root: Path) -> dict[str, float]:
    """Return the seconds that each stage took us; none where params.yaml asks for another amount of work."""
    known = read_json(TYPICAL)
    return known["seconds"] if known["settings"] == _sizes(root) else {}


def write_typical(root: Path, target: Path = TYPICAL) -> None:
    """Keep what the stages of a folder took last, for runs on machines where none was timed."""
    seconds = {stage: round(took, 1) for stage, took in sorted(read_seconds(root).items())}
    write_json(target, {"settings": _sizes(root), "seconds": seconds})


def _sizes(root: Path) -> dict[str, Any]:
    file = root / PARAMS_FILE
    values = load_yaml(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {section: values.get(section) for section in SIZES}


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
        typical: what each takes on our machine. It counts where ``seconds`` knows nothing, as many times as
            those that ended here took longer.
    """

    seconds: Mapping[str, float]
    jobs: int
    typical: Mapping[str, float] = field(default_factory=dict)

    def expected(self, stage: str, pace: float = 1.0) -> float | None:
        """Return about how long a stage takes: as it took last, else as others of its script did."""
        took = _like(stage, self.seconds)
        if took is None and (typical := _like(stage, self.typical)) is not None:
            return typical * pace
        return took

    def left(self, rows: Iterable[StageRow], now: float) -> float | None:
        """Return about how long stages that wait and run still take, seconds; None where one is not known.

        Args:
            now: seconds since the run began.
        """
        rows = list(rows)
        pace, left = self._pace(rows, now), []
        for row in rows:
            if row.status in (Status.WAITING, Status.RUNNING):
                expected = self.expected(row.stage, pace)
                if expected is None:
                    return None
                left.append(max(expected - (row.seconds(now) or 0.0), 0.0))
        return sum(left) / self.jobs if left else None

    def _pace(self, rows: Iterable[StageRow], now: float) -> float:
        """Return how many times as long as on our machine stages took that ended in this run."""
        took = {telemetry_name(row.stage): row.seconds(now) for row in rows if row.status is Status.DONE}
        both = {name: seconds for name, seconds in took.items() if seconds and name in self.typical}
        return sum(both.values()) / sum(self.typical[name] for name in both) if both else 1.0


def _like(stage: str, seconds: Mapping[str, float]) -> float | None:
    """Return the seconds of a stage, else the mean of those of its script."""
    name = telemetry_name(stage)
    if name in seconds:
        return seconds[name]
    script = name.partition("@")[0]
    others = [took for other, took in seconds.items() if other.partition("@")[0] == script]
    return sum(others) / len(others) if others else None


if __name__ == "__main__":
    write_typical(Path.cwd())
