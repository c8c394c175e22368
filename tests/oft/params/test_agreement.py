"""Rules between sections: names that stand for something, and choices that fit each other."""

from __future__ import annotations

from typing import Any

import pytest

from oft.params import parse_params
from tests.oft.params.refusal import faults

Values = dict[str, Any]


def test_conditions_that_a_network_makes_fit_every_data_set(values: Values) -> None:
    for condition in ("depth", "segmentation"):
        values["tasks"]["canny_photos"]["condition"] = condition
        assert parse_params(values).tasks["canny_photos"].condition == condition


def drawing(**changes: Any) -> Values:
    """Settings of a drawing."""
    return {"task": "canny_coco", "adapter": "oft", "prompts": ["a cat"], "num_samples": 1, **changes}


@pytest.mark.parametrize(
    ("task", "adapter"), [("canny_coco", "hint"), ("subject_robot_toy", "oft"), ("style_ink", "coft")]
)
def test_prompts_are_drawn_by_an_adapter_that_the_task_trains(
    task: str, adapter: str, values: Values
) -> None:
    values |= {"style_tasks": ["style_ink"], "style_adapters": ["coft"]}
    values["drawings"] = {"a": drawing(task=task, adapter=adapter)}
    assert parse_params(values).drawings["a"].adapter == adapter


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda v: v["control_tasks"].append("segm_mars"), "control_tasks[3]"),
        (lambda v: v["tasks"]["canny_coco"].update(dataset="mars"), "tasks.canny_coco.dataset"),
        (lambda v: v["angles"].update(dataset="mars"), "angles.dataset"),
        (
            lambda v: v["transfers"]["canny_photos-oft"].update(trained_on="canny_photos"),
            "transfers.canny_photos-oft",
        ),
        (lambda v: v["control_adapters"].__setitem__(0, "coft"), "transfers.canny_photos-oft.adapter"),
        (lambda v: v.update(drawings={"a": drawing(task="style_ink")}), "drawings.a.task"),
        (lambda v: v.update(drawings={"a": drawing(adapter="coft")}), "drawings.a.adapter"),
        (lambda v: v.update(drawings={"a": drawing(prompts=[])}), "drawings.a.prompts"),
        (lambda v: v.update(sample_shards=[1]), "sample_shards"),
        (lambda v: v["subjects"].update(canny_coco={"dataset": "dreambooth", "subject": "x"}), "subjects"),
        (lambda v: v["control_tasks"].append("canny_photos"), "transfers.canny_photos-oft"),
        (lambda v: v["tasks"]["canny_coco"].update(condition="densepose"), "reader coco does not give"),
        (lambda v: v["subjects"]["subject_robot_toy"].update(dataset="coco"), "subjects.subject_robot_toy"),
        (
            lambda v: v["subjects"]["subject_robot_toy"].update({"class": "toy"}),
            "subject_robot_toy.class: dreamb",
        ),
        (lambda v: v["subjects"].update(mine={"dataset": "dreambooth"}), "subjects.mine.subject: missing"),
        (lambda v: v["subjects"].update(mine={"dataset": "photos"}), "subjects.mine.class: missing"),
        (
            lambda v: v["subjects"].update(mine={"dataset": "photos", "class": "a", "subject": "b"}),
            "subjects.mine.subject: all pictures",
        ),
        (lambda v: v["subjects"].update(mine={"dataset": "photos", "class": " a"}), "subjects.mine.class"),
        (lambda v: v["styles"]["style_ink"].update(dataset="mars"), "styles.style_ink.dataset"),
        (lambda v: v["styles"]["style_ink"].update(dataset="dreambooth"), "styles.style_ink: a style's"),
        (lambda v: v["styles"].update(canny_coco={"dataset": "world_ink"}), "styles: canny_coco stands in"),
        (lambda v: v["style_tasks"].append("canny_coco"), "style_tasks[0]"),
    ],
)
def test_names_must_agree(values: Values, change: Any, key: str) -> None:
    change(values)
    assert key in faults(values)


@pytest.mark.parametrize("kind", ["subject", "style"])
def test_what_has_no_condition_needs_an_adapter_that_learns_without(values: Values, kind: str) -> None:
    values[f"{kind}_adapters"] = ["oft", "hint"]
    assert f"{kind}_adapters[1]: hint (method hint) learns from conditioning images alone" in faults(values)


def test_a_folder_of_pictures_is_a_subject_with_a_class(values: Values) -> None:
    values["subjects"]["mine"] = {"dataset": "photos", "class": "coffee cup", "prompts": "prompts.txt"}
    subject = parse_params(values).subjects["mine"]
    assert (subject.title, subject.prompts, subject.class_pictures) == ("coffee cup", "prompts.txt", None)
    assert subject.model_dump()["class"] == "coffee cup", "written as it is read"


def test_controlnetpp_s_protocol_has_its_size_and_number_of_pictures(values: Values) -> None:
    assert not parse_params(values).evaluate.controlnetpp.enabled
    values["evaluate"]["controlnetpp"]["enabled"] = True
    said = faults(values)
    assert (
        "resolution_px: must be 512 under ControlNet++'s protocol; set it so, or "
        "evaluate.controlnetpp.enabled: false; it is 64" in said
    )
    assert "sample.num_samples: must be 4 under ControlNet++'s protocol; " in said
    values["resolution_px"], values["sample"]["num_samples"] = 512, 4
    assert parse_params(values).evaluate.controlnetpp.enabled
