"""Settings of a task of one's own: whole, alone unless others are kept, and never in another's place."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from oft import additions
from oft.additions import Addition, add
from oft.errors import ParamsError
from oft.params import parse_params

ADDITIONS = {
    "subject_rex": additions.subject("/rex", "rex", "dog", prompts=None, class_pictures="/dogs"),
    "style_rex": additions.style("/rex", "rex", "{caption}, woodcut", "own"),
    "canny_rex": additions.control("/rex", "rex", "canny", "blip"),
}


@pytest.mark.parametrize("task", ADDITIONS)
def test_it_runs_alone_and_the_settings_are_whole(values: dict[str, Any], task: str) -> None:
    before = copy.deepcopy(values)
    params = parse_params(add(values, ADDITIONS[task]))
    assert params.trained_tasks == params.base_tasks == [task]
    assert not params.transfers
    assert params.angles.dataset == "rex"
    assert list(params.datasets) == ["rex"], "another would be acquired for nothing"
    assert list(params.all_tasks) == [task]
    assert params.datasets["rex"].acquire.source == "/rex"
    assert values == before


@pytest.mark.parametrize("task", ADDITIONS)
def test_others_are_kept_on_demand(values: dict[str, Any], task: str) -> None:
    before = parse_params(values)
    params = parse_params(add(values, ADDITIONS[task], keep=True))
    assert set(params.trained_tasks) == {*before.trained_tasks, task}
    assert params.base_tasks == [*before.base_tasks, task]
    assert params.transfers == before.transfers


def test_what_each_kind_says_is_set(values: dict[str, Any]) -> None:
    subject = parse_params(add(values, ADDITIONS["subject_rex"])).subjects["subject_rex"]
    assert (subject.class_name, subject.prompts, subject.class_pictures) == ("dog", None, "/dogs")
    style = parse_params(add(values, ADDITIONS["style_rex"]))
    assert style.datasets["rex"].captions.template == "{caption}, woodcut"
    control = parse_params(add(values, ADDITIONS["canny_rex"]))
    assert control.tasks["canny_rex"].condition == "canny"
    assert control.datasets["rex"].captions.source == "blip"


def test_adapters_and_further_settings_are_chosen(values: dict[str, Any]) -> None:
    changes = {"base.source": "/model", "train_subject.max_train_steps": 70}
    made = add(values, ADDITIONS["subject_rex"], adapters=["lora", "oft"], changes=changes)
    params = parse_params(made)
    assert params.subject_adapters == ["lora", "oft"]
    assert params.gate.adapter == "lora"
    assert (params.base.source, params.train_subject.max_train_steps) == ("/model", 70)


def test_the_same_folder_may_be_added_again(values: dict[str, Any]) -> None:
    once = add(values, ADDITIONS["subject_rex"])
    assert add(once, ADDITIONS["subject_rex"]) == once


@pytest.mark.parametrize(
    ("name", "message"), [("Rex 1", "--name rex_1"), ("ade20k", "choose another --name")]
)
def test_a_name_that_cannot_be_is_refused(values: dict[str, Any], name: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        add(values, Addition("subject", name, "/rex", "image_folder", {"class": "dog"}, {}))
