"""A request for control: its rules, its params.yaml, its pictures with their conditions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.requests.kinds import ControlRequest
from flows.requests.kinds.control import GALLERY, GALLERY_TASK, possible_conditions
from flows.requests.request import parse_request
from flows.requests.settings import make_settings, write_settings
from flows.requests.site import Site
from oft.conditions.registry import CONDITIONS
from oft.errors import DataError
from oft.params import parse_params
from oft.profiles import list_profiles

from ..conftest import picture, zipped
from .conftest import CONF, Faults, Place, composed
from .test_style import entries

Asked = dict[str, Any]
TASK = ControlRequest.task


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """A sound request for two captioned pictures, with edges that it does not use."""
    (tmp_path / "trainings").mkdir()
    lines = [{"file_name": f"{n}.png", "text": "a cat", "conditioning_image": f"e/{n}.png"} for n in range(2)]
    files = {f"{n}.png": picture(n) for n in range(2)} | {f"e/{n}.png": picture(9 + n) for n in range(2)}
    files["metadata.jsonl"] = "\n".join(map(json.dumps, lines)).encode()
    (tmp_path / "trainings" / "pairs.zip").write_bytes(zipped(files))
    return {"kind": "control", "condition": "canny", "images": "pairs.zip", "output": "results"}


def test_the_conditions_are_those_that_a_task_on_such_pictures_may_have(asked: Asked, site: Site) -> None:
    for name in CONDITIONS:
        settings = composed(CONF, "miniature") | {"control_tasks": [], "transfers": {}, "base_tasks": []}
        dataset = make_settings(parse_request(asked, site), CONF)["datasets"]["requested"]
        settings["datasets"] = settings["datasets"] | {"requested": dataset}
        settings["tasks"] = {"one": {"dataset": "requested", "condition": name}}
        try:
            parse_params(settings)
        except Exception:
            assert name not in possible_conditions()
        else:
            assert name in possible_conditions()
            assert parse_request(asked | {"condition": name}, site).title == CONDITIONS[name].title


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"condition": "cany"}, "condition: must be one of canny, canny_kornia, depth, given, "),
        ({"condition": "densepose"}, "condition: densepose is made from maps, which no request brings"),
        ({"condition": None}, "condition: input should be a valid string"),
        (
            {"gallery_prompts": ["a cat"]},
            "gallery_prompts: a training of kind 'control' has none; remove it, or",
        ),
        (
            {"class_images": "x"},
            "class_images: a training of kind 'control' has none; remove it, or set kind to 's",
        ),
        (
            {"gallery_conditions": "s3://bucket/elsewhere"},
            "gallery_conditions: lies outside of what this server",
        ),
        ({"gallery_conditions": "https://[::1]/a.zip"}, "gallery_conditions: leads to ::1"),
        ({"adapter": "controlnt"}, "can learn a condition, hint, oft, coft, "),
        ({"train_text_encoder": True}, "train_text_encoder: oft does not train it"),
        ({"num_blocks": 5}, "num_blocks: must divide the widths of all adapted layers, 128, 192; it is 5"),
    ],
)
def test_a_hostile_parameter_is_refused_with_the_reason(
    change: Asked, said: str, asked: Asked, faults: Faults
) -> None:
    assert said in faults(asked | change)
    without = {key: value for key, value in asked.items() if key != "condition"}
    assert "condition: missing; The conditioning image of each picture" in faults(without)


@pytest.mark.parametrize("profile", list_profiles(CONF))
def test_every_profile_takes_a_condition(profile: str, asked: Asked, tmp_path: Path) -> None:
    request = parse_request(asked | {"profile": profile, "max_train_steps": 9, "gallery_conditions": "x"})
    params = write_settings(make_settings(request, CONF), tmp_path / "params.yaml")
    assert (params.trained_tasks, params.control_adapters) == ([TASK], ["oft"])
    assert params.tasks[TASK].condition == "canny" and params.train.max_train_steps == 9
    transfer = params.transfers[f"{GALLERY_TASK}-oft"]
    assert (transfer.task, transfer.trained_on) == (GALLERY_TASK, TASK)
    assert params.tasks[GALLERY_TASK].condition == "given"
    assert request.stages == ["evaluate", "sample_transfer"]
    assert request.shown == Path("runs") / GALLERY_TASK / "oft" / "samples"


@pytest.mark.parametrize("adapter", ["controlnet", "hint", "full", "lora"])
def test_adapters_that_take_a_condition_learn_one(adapter: str, asked: Asked, site: Site) -> None:
    request = parse_request(asked | {"adapter": adapter}, site)
    params = parse_params(make_settings(request, CONF))
    assert (params.control_adapters, params.gate.adapter) == ([adapter], adapter)
    assert request.stages == ["evaluate"] and params.transfers == {}
    assert request.shown == Path("runs") / TASK / adapter / "samples"


@pytest.mark.parametrize(("condition", "has_files"), [("canny", False), ("given", True)])
def test_conditioning_pictures_are_placed_where_they_are_the_condition(
    condition: str, has_files: bool, asked: Asked, place: Place, tmp_path: Path
) -> None:
    made = place(asked | {"condition": condition})
    found = entries(tmp_path / "clone", made)
    assert [len(found[part]) for part in ("train", "validation")] == [1, 1]
    assert all(("conditioning_image" in line) == has_files for lines in found.values() for line in lines)
    assert place(asked | {"condition": condition}) == made


def test_conditions_of_the_gallery_are_drawn_for_and_never_trained_on(
    asked: Asked, place: Place, tmp_path: Path
) -> None:
    drawings = {"a.png": picture(20), "a.txt": b"a red house", "b.png": picture(21), "b.txt": b"a dog"}
    (tmp_path / "trainings" / "drawings.zip").write_bytes(zipped(drawings))
    made = place(asked | {"gallery_conditions": "drawings.zip"})
    [(part, lines)] = entries(tmp_path / "clone", made, GALLERY).items()
    assert part == "validation" and sorted(line["text"][0] for line in lines) == ["a dog", "a red house"]
    folder = tmp_path / "clone" / made["datasets"][GALLERY]["acquire"]["source"] / part
    assert {(folder / line["conditioning_image"]).read_bytes() for line in lines} == {
        picture(20),
        picture(21),
    }
    (tmp_path / "trainings" / "bare.zip").write_bytes(zipped({"1.png": picture(20)}))
    with pytest.raises(DataError, match=r"gallery_conditions: .*(?s:.)*1\.png: has no caption"):
        place(asked | {"gallery_conditions": "bare.zip"})
