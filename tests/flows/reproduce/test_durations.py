"""How long a run still takes, by what its stages took before; silent where too little is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.graph import read_graph
from flows.reproduce.durations import (
    TYPICAL,
    Forecast,
    keep_seconds,
    read_seconds,
    read_typical,
    telemetry_name,
    write_typical,
)
from flows.reproduce.run_table import StageRow, Status
from oft.params import PARAMS_FILE
from oft.profiles import compose_profile
from oft.storage import dump_yaml, read_json, write_json
from tests.conftest import ROOT

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


def test_what_a_run_measured_counts_before_what_a_stage_says_of_itself(tmp_path: Path) -> None:
    """A stage times neither its own start nor DVC's hashing of its outs."""
    (tmp_path / ".telemetry").mkdir()
    write_json(tmp_path / ".telemetry" / "init@a-oft.json", {"stage": "init@a-oft", "seconds": 0.4})
    write_json(tmp_path / ".telemetry" / "base.json", {"stage": "base", "seconds": 2})
    rows = [
        StageRow("init_subject@a-oft", Status.DONE, began=1.0, ended=8.0),
        StageRow("report", Status.CACHED, began=8.0, ended=9.0),
        StageRow("draw", Status.RUNNING, began=8.0),
    ]

    keep_seconds(tmp_path, rows, now=20.0)
    assert read_seconds(tmp_path) == {"init@a-oft": 7.0, "base": 2.0}

    keep_seconds(tmp_path, [StageRow("report", Status.DONE, began=0.0, ended=3.0)], now=20.0)
    assert read_seconds(tmp_path) == {"init@a-oft": 7.0, "base": 2.0, "report": 3.0}


def test_a_first_run_goes_by_our_seconds_at_its_own_pace() -> None:
    """Where a stage took twice as long as ours, so will the others; what was timed here counts as it is."""
    forecast = Forecast({}, jobs=1, typical={"base": 10.0, "train@a-oft": 100.0, "report": 20.0})
    assert forecast.left(WAITING, now=0.0) == 120.0
    slow = [StageRow("base", Status.DONE, began=0.0, ended=20.0), *WAITING]
    assert forecast.left(slow, now=20.0) == 240.0
    timed = Forecast({"report": 5.0}, jobs=1, typical=forecast.typical)
    assert timed.left(slow, now=20.0) == 205.0


def test_our_seconds_are_those_of_the_default_and_of_no_other_work(tmp_path: Path) -> None:
    """After a change of what the default does: make repro, then python -m flows.reproduce.durations."""
    values = compose_profile(ROOT / "conf", "miniature")
    (tmp_path / PARAMS_FILE).write_text(dump_yaml(values), encoding="utf-8")

    typical = read_typical(tmp_path)

    scripts = {telemetry_name(stage).partition("@")[0] for stage in read_graph(ROOT)}
    assert scripts - {stage.partition("@")[0] for stage in typical} == {"pretrain"}, "which no run makes"
    longer = {**values["train"], "max_train_steps": 5000}
    (tmp_path / PARAMS_FILE).write_text(dump_yaml({**values, "train": longer}), encoding="utf-8")
    assert read_typical(tmp_path) == {}


def test_seconds_of_a_run_are_kept_as_ours(tmp_path: Path) -> None:
    (tmp_path / PARAMS_FILE).write_text(
        dump_yaml(compose_profile(ROOT / "conf", "miniature")), encoding="utf-8"
    )
    keep_seconds(tmp_path, [StageRow("report", Status.DONE, began=0.0, ended=3.25)], now=4.0)

    write_typical(tmp_path, tmp_path / "typical.json")

    written = read_json(tmp_path / "typical.json")
    assert written["seconds"] == {"report": 3.2}
    assert written["settings"] == read_json(TYPICAL)["settings"]
