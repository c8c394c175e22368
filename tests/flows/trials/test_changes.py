"""Settings on the command line, and what may be chosen by a sweep."""

from __future__ import annotations

from typing import Any

import pytest

from flows.trials.changes import (
    apply_changes,
    describe_changes,
    grid,
    parse_change,
    parse_sweep,
    refuse_reported_seeds,
)
from oft.errors import UserError


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("train.learning_rate=1e-3", ("train.learning_rate", 1e-3)),
        ("train.max_train_steps=800", ("train.max_train_steps", 800)),
        ("training.log_to=[tensorboard, wandb]", ("training.log_to", ["tensorboard", "wandb"])),
        ("adapters.oft.block_size=null", ("adapters.oft.block_size", None)),
        ("class_prompt=a {class}=b", ("class_prompt", "a {class}=b")),
        ("adapters.oft.title=nan", ("adapters.oft.title", "nan")),
    ],
)
def test_a_change_is_a_key_and_a_yaml_value(text: str, change: tuple[str, Any]) -> None:
    assert parse_change(text) == change


def test_a_sweep_is_a_list_of_values_and_several_are_every_combination() -> None:
    sweeps = [parse_sweep("train.learning_rate=1e-3,2e-3"), parse_sweep("training.log_to=[],[wandb]")]
    assert sweeps == [("train.learning_rate", [1e-3, 2e-3]), ("training.log_to", [[], ["wandb"]])]
    assert grid(sweeps) == [
        {"train.learning_rate": rate, "training.log_to": logs}
        for rate in (1e-3, 2e-3)
        for logs in ([], ["wandb"])
    ]


@pytest.mark.parametrize("text", ["train", "=3", "train.batch_size="])
def test_a_change_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"must be KEY=VALUE, for example"):
        parse_change(text)


@pytest.mark.parametrize("value", ["[", "2024-13-45", "!!bool x", "._"])
def test_a_value_that_is_no_yaml_is_refused(value: str) -> None:
    with pytest.raises(UserError, match=r"--set 'identifier=.*: the value is no YAML"):
        parse_change(f"identifier={value}")


@pytest.mark.parametrize(
    ("sweeps", "message"),
    [
        (["train.batch_size=4,4"], "names a value twice"),
        (["train.batch_size=4", "train.batch_size=8"], "stands there twice"),
        (["train.batch_size=[4"], "no YAML"),
        (["seed=3,4"], "which pictures are judged"),
        (["resolution_px=64,128"], "which pictures are judged"),
        (["datasets.coco.num_val_images=8,16"], "which pictures are judged"),
    ],
)
def test_an_unfit_sweep_is_refused(sweeps: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        grid([parse_sweep(text) for text in sweeps])


def test_how_much_is_trained_on_may_be_swept() -> None:
    assert grid([parse_sweep("datasets.coco.num_train_images=8,16")])


def test_changes_leave_the_settings_given_as_they_were(values: dict[str, Any]) -> None:
    changed = apply_changes(values, {"train.learning_rate": 5.0, "seed": 7})
    assert (changed["train"]["learning_rate"], changed["seed"]) == (5.0, 7)
    assert values["train"]["learning_rate"] != 5.0 and values["seed"] != 7
    with pytest.raises(UserError, match=r"trian.learning_rate: trian is no section"):
        apply_changes(values, {"trian.learning_rate": 1})


def test_settings_are_not_chosen_on_pictures_that_figures_are_reported_on() -> None:
    refuse_reported_seeds([1000, 1001], params_seed=5)
    with pytest.raises(UserError, match=r"--seeds 1,5: figures are reported on .* 0, 1, 2, 5.*1000"):
        refuse_reported_seeds([1, 1000, 5], params_seed=5)


def test_changes_are_described_in_a_line() -> None:
    assert describe_changes({"a.b": 1, "c": "x"}) == "a.b=1, c=x"
    assert describe_changes({}) == "params.yaml as it is"
