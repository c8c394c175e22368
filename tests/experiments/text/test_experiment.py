"""A run: tidy, paired, the same bytes whether it was interrupted or not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import experiments.text.experiment as experiment
from experiments.text.arms import ARMS
from experiments.text.corpora import NAMES
from experiments.text.experiment import TABLE, Trial, plan_trials, run
from experiments.text.grid import choose_rates
from experiments.text.inputs import Inputs
from experiments.text.settings import Settings, read_rates
from experiments.tidy import COLUMNS
from oft.errors import ParamsError
from tests.experiments.text.conftest import World

SOME = ("none", "oft", "lora")


class Names(list[str]):
    """Names of trainings.

    Attributes:
        allowed: how many may run.
    """

    allowed: int | None = None


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Names of the trainings that ran; the test may say how many may before the next is interrupted."""
    names = Names()
    train = experiment.run_trial

    def note(inputs: Inputs, trial: Trial, on_step: Callable[[float], None]) -> dict[str, Any]:
        if len(names) == names.allowed:
            raise KeyboardInterrupt
        names.append(trial.name)
        return train(inputs, trial, on_step)

    monkeypatch.setattr(experiment, "run_trial", note)
    return names


def test_an_interrupted_run_goes_on_to_the_same_bytes(world: World, tmp_path: Path, made: Names) -> None:
    options = {"arms": SOME, "telemetry": tmp_path / "seconds", **world.options()}
    run(tmp_path / "whole", [0], **options)
    made.clear()
    made.allowed = 2
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", [0], **options)
    assert not (tmp_path / "parts" / TABLE).exists()
    made.allowed = None
    run(tmp_path / "parts", [0], **options)
    assert len(made) == len(set(made)) == len(NAMES) * len(SOME)
    assert (tmp_path / "parts" / TABLE).read_bytes() == (tmp_path / "whole" / TABLE).read_bytes()


def test_rows_are_tidy_and_every_arm_has_the_same_documents(world: World, tmp_path: Path) -> None:
    table = run(tmp_path, [0, 1], arms=SOME, telemetry=tmp_path / "seconds", **world.options())
    assert tuple(table.columns) == COLUMNS
    rows = table.to_dict("records")
    assert {row["experiment"] for row in rows} == {"text"} and {row["setting"] for row in rows} == {""}
    documents: dict[str, set[tuple[str, ...]]] = {name: set() for name in NAMES}
    for corpus in NAMES:
        for arm in SOME:
            for seed in (0, 1):
                own = [
                    row for row in rows if (row["task"], row["adapter"], row["seed"]) == (corpus, arm, seed)
                ]
                right = {row["condition"]: row["value"] for row in own if row["metric"] == "correct"}
                of_all = {row["metric"]: row["value"] for row in own if not row["condition"]}
                assert of_all["accuracy"] == pytest.approx(sum(right.values()) / len(right))
                assert ("learning_rate" in of_all) == (arm != "none")
                documents[corpus].add(tuple(right))
                if arm == "none":
                    assert of_all["similarity_spearman"] == pytest.approx(1.0)
                    assert of_all["similarity_change"] == of_all["energy_change"] == 0.0
                if arm == "oft":
                    assert of_all["similarity_change"] > 0 and of_all["energy_change"] < 1e-4
    assert all(len(ids) == 1 and len(next(iter(ids))) == 9 for ids in documents.values())


def test_a_result_of_other_settings_is_made_anew(world: World, tmp_path: Path, made: Names) -> None:
    options = {"arms": ("none",), "telemetry": tmp_path / "seconds", **world.options()}
    run(tmp_path, [0], **options)
    made.clear()
    run(tmp_path, [0], **options)
    assert made == []
    run(tmp_path, [0], **{**options, "settings": dataclasses.replace(world.settings, steps=2)})
    assert made == ["r8-none-0", "newsgroups20-none-0"]


def test_the_grid_takes_the_rate_of_the_lowest_validation_loss_at_full_length(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = {name: ARMS[name] for name in SOME}
    monkeypatch.setattr("experiments.text.grid.ARMS", arms)
    given: dict[str, Any] = {
        "settings": world.settings,
        "wheels": world.wheels,
        "pins": world.pins,
        "grid": (1e-4, 1e-3, 3e-2),
    }
    found = choose_rates(tmp_path, target=tmp_path / "rates.json", **given)
    for corpus in NAMES:
        for arm in SOME:
            first, last = (
                {
                    rate: scores["cross_entropy"]
                    for rate, scores in found["tried"][corpus][arm][length].items()
                }
                for length in ("2 steps", "3 steps")
            )
            assert set(last) == set(sorted(first, key=first.__getitem__)[:2]), (
                "the two best of the first round"
            )
            rates = read_rates(corpus, arm, tmp_path / "rates.json")
            assert last[f"{rates.adapter:g}"] == min(last.values())
            assert rates.head == read_rates(corpus, "none", tmp_path / "rates.json").head
    monkeypatch.setattr("experiments.text.grid.validate", lambda *_: pytest.fail("made twice"))
    choose_rates(tmp_path, target=tmp_path / "again.json", **given)
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "rates.json").read_bytes()


def test_wrong_plans_are_refused(world: World, tmp_path: Path) -> None:
    arms = tuple(ARMS)
    assert len(plan_trials([0, 1, 2], Settings(), arms, world.rates)) == 3 * len(NAMES) * len(ARMS)
    for seeds in ([], [0, 0], [-1]):
        with pytest.raises(ParamsError, match="seeds: must be whole numbers"):
            plan_trials(seeds, Settings(), arms, world.rates)
    (tmp_path / "rates.json").write_text(json.dumps({"chosen": {}}))
    with pytest.raises(ParamsError, match=r"rates of none on r8.*experiments\.text rates"):
        plan_trials([0], Settings(), arms, tmp_path / "rates.json")
