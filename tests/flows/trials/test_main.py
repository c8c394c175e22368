"""The commands on a tiny pipeline: known figures, nothing run twice, no sweep on reported pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from flows.git import git
from flows.trials import __main__ as command
from flows.trials.__main__ import app

from .conftest import TinyPipeline

FAST = ["--resamples", "200", "--jobs", "2"]
END = "VAE reconstruction"


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "120", "TERM": "dumb"})


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves the signals of the tests' own process as they are."""
    monkeypatch.setattr(command, "exit_on_signals", lambda: None)
    yield


pytestmark = pytest.mark.usefixtures("handlers")


@pytest.mark.parametrize("name", ["gains", "sweep"])
def test_help_teaches(name: str) -> None:
    shown = invoke(name, "--help")
    assert shown.exit_code == 0
    for word in ("--seeds", "--tasks", "--adapters", "--dry-run", "python -m flows.trials"):
        assert word in shown.output


def test_help_does_not_wait_for_torch_or_dvc() -> None:
    code = "import sys, flows.trials.__main__; sys.exit(bool({'prefect', 'dvc', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def read(repository: Path, name: str) -> Any:
    return json.loads((repository / ".trials" / name).read_text(encoding="utf-8"))


def test_gains_are_those_that_the_settings_give(repository: Path, pipeline: TinyPipeline) -> None:
    asked = ["gains", "--seeds", "0,1", "--set", "train.learning_rate=3e-3", *FAST]
    planned = invoke(*asked, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "seed 1; train.learning_rate=0.003; canny_coco/none, canny_coco/hint" in planned.output
    assert "2 of 2 trials to run" in planned.output
    assert not (repository / ".clones").exists() and not pipeline.trained

    shown = invoke(*asked)
    assert shown.exit_code == 0, shown.output
    values = {row["quantity"]: row for row in read(repository, "gains.json")["estimates"]}
    for quantity, value in {"oft - the base": 0.3, "hint - the base": 0.1, "oft - hint": 0.2}.items():
        assert values[quantity]["value"] == pytest.approx(value)
        assert values[quantity]["by_seed"] == pytest.approx({"0": value, "1": value})
    assert values["the base"]["by_seed"]["0"] != pytest.approx(values["the base"]["by_seed"]["1"])
    assert values[f"(oft - hint) / ({END} - hint)"]["low"] > 0
    assert f"oft / {END}" in (repository / ".trials" / "gains.md").read_text(encoding="utf-8")
    assert git("status", "--porcelain", root=repository) == ""


def test_what_is_there_is_not_run_again(repository: Path, pipeline: TinyPipeline) -> None:
    assert invoke("gains", "--seeds", "0", "--adapters", "none,oft", *FAST).exit_code == 0
    assert pipeline.trained == [("oft", 0)]
    assert invoke("gains", "--seeds", "0,1", *FAST).exit_code == 0
    assert pipeline.trained == [("oft", 0), ("hint", 0), ("hint", 1), ("oft", 1)]
    first = read(repository, "gains.json")
    again = invoke("gains", "--seeds", "0,1", *FAST)
    assert again.exit_code == 0 and "2 of 2 trials are there already" in again.output
    assert len(pipeline.trained) == 4 and read(repository, "gains.json") == first


def test_a_trial_is_the_pipeline_of_dvc_with_the_repositorys_cache(repository: Path) -> None:
    shown = invoke("gains", "--seeds", "3", "--adapters", "oft", *FAST)
    assert shown.exit_code == 0, shown.output
    assert "trained oft on canny_coco with seed 3" in shown.output
    assert list((repository / ".dvc" / "cache" / "runs").iterdir())
    assert not (repository / "runs").exists()


def test_a_failed_stage_keeps_no_score_and_says_why(repository: Path) -> None:
    script = repository / "tiny.py"
    script.write_text(script.read_text().replace("def train():", "def train():\n    sys.exit('no luck')"))
    git("commit", "--quiet", "--all", "--message", "Break", root=repository)
    shown = invoke("gains", "--seeds", "0", "--adapters", "oft", *FAST)
    assert shown.exit_code == 1
    assert "no luck" in shown.output and "Traceback" not in shown.output
    assert not list((repository / ".trials").glob("runs/*/canny_coco"))


def test_a_sweep_ranks_settings_on_pictures_of_its_own(repository: Path, pipeline: TinyPipeline) -> None:
    shown = invoke("sweep", "--sweep", "train.learning_rate=1e-3,3e-3,2e-3", *FAST)
    assert shown.exit_code == 0, shown.output
    found = read(repository, "sweep.json")
    (table,) = found["tables"]
    assert (table["task"], table["metric"]) == ("canny_coco", "canny_f1")
    ranked = [row["setting"] for row in table["settings"]]
    assert ranked == [f"train.learning_rate={rate}" for rate in (0.003, 0.002, 0.001)]
    assert table["settings"][1]["behind"] == pytest.approx(-0.1)
    assert {trial["seed"] for trial in found["trials"].values()} == {1000}
    assert pipeline.trained == [("oft", 1000)] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0,1000"], "figures are reported on the pictures of seeds 0, 1, 2"),
        (["--seeds", "one"], "must be whole numbers"),
        (["--tasks", "canny_photos"], "pictures are the same under every seed"),
        (["--sweep", "resolution_px=64,128"], "decides which pictures are judged"),
    ],
)
def test_a_sweep_that_would_mislead_is_refused(repository: Path, arguments: list[str], message: str) -> None:
    shown = invoke("sweep", "--sweep", "train.learning_rate=1e-3,2e-3", *arguments, "--dry-run")
    assert shown.exit_code == 1
    assert message in " ".join(shown.output.split())


def test_uncommitted_edits_stay_out_and_that_is_said(repository: Path) -> None:
    (repository / "params.yaml").write_text("broken", encoding="utf-8")
    shown = invoke("gains", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "not committed stays out" in " ".join(shown.output.split())
