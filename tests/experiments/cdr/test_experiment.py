"""A whole run in small: resumed or not the same bytes, of the columns that a reader expects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.cdr import experiment
from experiments.cdr.__main__ import app
from experiments.cdr.adaptation import adapt
from experiments.cdr.experiment import TABLE_FILE, Plan, run
from experiments.cdr.protocol import REPORTED, SCRATCH, Protocol
from experiments.cdr.summary import render
from experiments.cdr.sweep import best_rate, read_rates, sweep
from experiments.paired import paired_means
from experiments.tidy import COLUMNS, read_table
from oft.errors import UserError

SMALL = Protocol(
    width=16,
    num_hidden=1,
    pretrain_steps=4,
    steps=3,
    num_points=8,
    num_initial=4,
    grid_points=16,
    grid_slices=4,
)
ARMS = ("none", SCRATCH, "oft", "lora")
RATES = {SCRATCH: 1e-3, "oft": 1e-2, "lora": 1e-3}
PLAN = Plan(seeds=(0, 1), equations=REPORTED[:2], arms=ARMS, protocol=SMALL, rates=RATES)


def test_a_resumed_run_gives_the_bytes_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "whole", PLAN)
    trained: list[str] = []

    def interrupted(arm: str, *arguments: Any) -> object:
        if len(trained) == 5:
            raise KeyboardInterrupt
        trained.append(arm)
        return adapt(arm, *arguments)

    monkeypatch.setattr(experiment, "adapt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "resumed", PLAN)
    assert not (tmp_path / "resumed" / TABLE_FILE).exists()
    monkeypatch.setattr(experiment, "adapt", adapt)
    run(tmp_path / "resumed", PLAN)
    monkeypatch.setattr(experiment, "adapt", interrupted)
    run(tmp_path / "resumed", PLAN)  # trains nothing

    assert (tmp_path / "whole" / TABLE_FILE).read_bytes() == (tmp_path / "resumed" / TABLE_FILE).read_bytes()
    assert (tmp_path / "whole" / "telemetry" / ".gitignore").read_text() == "*\n"
    pd.testing.assert_frame_equal(read_table(tmp_path / "whole" / TABLE_FILE), whole)
    assert tuple(whole.columns) == COLUMNS
    rows = whole.to_dict("records")
    final = [row for row in rows if row["metric"] == "relative_l2" and not row["setting"]]
    assert len(final) == 2 * 2 * len(ARMS)
    assert {row["setting"] for row in rows if row["adapter"] == "oft"} == {
        "",
        *(f"step={n}" for n in range(4)),
    }
    assert {row["adapter"] for row in rows if row["metric"] == "forgetting"} == set(ARMS) - {SCRATCH}
    # Every adapter starts where the pretrained network ends.
    start = {
        (row["adapter"], row["task"], row["seed"]): row["value"]
        for row in rows
        if row["metric"] == "relative_l2" and row["setting"] == ("" if row["adapter"] == "none" else "step=0")
    }
    assert all(value == start["none", *of] for (arm, *of), value in start.items() if arm == "oft")
    mean = paired_means(whole, "relative_l2")["lora"]
    by_hand = [row["value"] for row in final if row["adapter"] == "lora"]
    assert mean.value == pytest.approx(sum(by_hand) / len(by_hand))
    assert render(whole).count("\n") == 1 + len(ARMS)


def test_a_folder_of_other_settings_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({**PLAN.settings(), "pretrained": "beta=1"}))
    with pytest.raises(UserError, match=r"pretrained is 'beta=1' there and .* now; give another folder"):
        run(tmp_path, PLAN)


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / "trainings" / REPORTED[0].name / "none" / "seed-0.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("[[")
    with pytest.raises(UserError, match=r"seed-0\.json: must be a result .* remove the file"):
        run(tmp_path, PLAN)


def test_a_sweep_writes_what_runs_read(tmp_path: Path) -> None:
    target = tmp_path / "rates.json"
    chosen = sweep(tmp_path / "out", protocol=SMALL, rates=(1e-3, 1e-2), arms=("oft", "lora"), target=target)
    written = json.loads(target.read_text())
    assert read_rates(("none", "oft", "lora"), target) == chosen
    for arm, rate in chosen.items():
        scores = written["mean_relative_l2"][arm]
        assert scores[f"{rate:g}"] == min(scores.values())
    assert not set(written["equations"]) & {equation.name for equation in REPORTED}
    with pytest.raises(UserError, match=r"must hold under `chosen` .*boft.* write it by"):
        read_rates(("boft",), target)


def test_a_rate_that_diverges_is_never_chosen() -> None:
    assert best_rate("oft", {"0.001": 0.3, "0.01": 0.2, "0.1": None}) == 0.01
    with pytest.raises(UserError, match="oft: a learning rate must end with a finite error"):
        best_rate("oft", {"0.1": None})


def test_a_dry_run_says_what_is_to_be_trained_and_leaves_nothing(tmp_path: Path) -> None:
    """With the committed rates, which must be there for every arm that is trained."""
    shown = CliRunner().invoke(app, ["--out", str(tmp_path / "out"), "--seeds", "0,4", "--dry-run"])
    assert shown.exit_code == 0
    assert f"{2 * len(REPORTED) * len(Plan().arms)} trainings, 0 of them done" in shown.output
    settings = json.loads(shown.output[: shown.output.rindex("}") + 1])
    assert settings["learning_rates"].keys() == {arm for arm in Plan().arms if arm != "none"}
    assert not (tmp_path / "out").exists()
