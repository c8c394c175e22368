"""Estimates from what stages took: every stage once, trainings by what they train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.trials.estimate import estimate_seconds
from flows.trials.trial import Revision, make_trial
from oft.storage import dump_yaml, write_json

TIMED = {
    "acquire@coco": 1, "caption@coco": 2,
    "extract@canny_coco": 4, "shard@canny_coco": 8, "encode@canny_coco": 16,
    "train@canny_coco-oft": 100, "fit_magnitude@canny_coco-oft": 1000,
    "sample@canny_coco-oft-0": 32, "sample@canny_coco-oft-1": 64, "evaluate@canny_coco-oft": 128,
    "sample@canny_coco-none-0": 256, "evaluate@canny_coco-none": 512,
    "train@segm_ade20k-oft": 9999,
}  # fmt: skip
DATA, DRAWN, BASE = 31, 224, 768


@pytest.fixture
def timed(tmp_path: Path, values: dict[str, Any]) -> Path:
    (tmp_path / "params.yaml").write_text(dump_yaml(values), encoding="utf-8")
    for stage, seconds in TIMED.items():
        write_json(tmp_path / ".telemetry" / f"{stage}.json", {"stage": stage, "seconds": seconds})
    return tmp_path


def estimate(root: Path, values: dict[str, Any], adapters: list[str], **changes: Any) -> float | None:
    revision, tasks = Revision("commit", values, ""), ["canny_coco"]
    made = make_trial(revision, changes, 0, tasks, adapters, root / "trials")
    return estimate_seconds([made], root, jobs=1)


def test_stages_are_added_up_each_once(timed: Path, values: dict[str, Any]) -> None:
    assert estimate(timed, values, ["none"]) == DATA + BASE
    assert estimate(timed, values, ["oft"]) == DATA + DRAWN + 1100
    assert estimate(timed, values, ["none", "oft"]) == DATA + BASE + DRAWN + 1100


def test_a_longer_training_takes_longer(timed: Path, values: dict[str, Any]) -> None:
    steps = values["train"]["max_train_steps"]
    found = estimate(timed, values, ["oft"], **{"train.max_train_steps": 3 * steps})
    assert found == DATA + DRAWN + 1300


def test_an_adapter_that_never_ran_counts_as_another(timed: Path, values: dict[str, Any]) -> None:
    assert estimate(timed, values, ["hint"]) == DATA + 256 + 512 + 1100


def test_nothing_is_known_where_nothing_ran(tmp_path: Path, values: dict[str, Any]) -> None:
    assert estimate(tmp_path, values, ["oft"]) is None
