"""How long a run still takes, by what its stages took before; silent where too little is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.reproduce.durations import Forecast, read_seconds, telemetry_name
from flows.reproduce.run_table import StageRow, Status
from oft.storage import write_json

WAITING = [StageRow("train@a-oft"), StageRow("report")]


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("acquire@coco", "acquire@coco"),
        ("shard_subject@subject_a", "shard_subject@subject_a"),
        ("train_subject@subject_a-oft", "train@subject_a-oft"),
        ("fit_magnitude_style@style_a-oft", "fit_magnitude@style_a-oft"),
        ("encode_subject@subject_a", "encode@subject_a"),
        ("sample_base@a-1", "sample@a-none-1"),
        ("evaluate_base@a", "evaluate@a-none"),
        ("evaluate_transfer@a-oft", "evaluate@a-oft"),
        ("report", "report"),
    ],
)
def test_stages_are_known_by_the_names_they_give_themselves(stage: str, name: str) -> None:
    assert telemetry_name(stage) == name


def test_what_waits_and_runs_is_shared_among_jobs() -> None:
    forecast = Forecast({"train@a-oft": 100.0, "report": 20.0}, jobs=2)
    assert forecast.left(WAITING, now=0.0) == 60.0
    running = [StageRow("train@a-oft", Status.RUNNING, began=10.0), StageRow("report")]
    assert forecast.left(running, now=50.0) == 40.0
    assert forecast.left(running, now=500.0) == 10.0
    assert forecast.left([StageRow("report", Status.DONE, 0.0, 1.0)], now=1.0) is None


def test_a_stage_that_never_ran_takes_what_others_of_its_script_took() -> None:
    forecast = Forecast({"train@b-oft": 100.0, "train@b-lora": 200.0, "report": 20.0}, jobs=1)
    assert forecast.left(WAITING, now=0.0) == 170.0


def test_without_any_there_is_no_estimate() -> None:
    assert Forecast({"report": 20.0}, jobs=1).left(WAITING, now=0.0) is None


def test_the_last_seconds_are_read(tmp_path: Path) -> None:
    assert read_seconds(tmp_path) == {}
    (tmp_path / ".telemetry").mkdir()
    write_json(tmp_path / ".telemetry" / "base.json", {"stage": "base", "seconds": 2, "revision": "x"})
    assert read_seconds(tmp_path) == {"base": 2.0}
