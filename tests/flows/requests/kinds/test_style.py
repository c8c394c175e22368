"""A request for a style: its rules, its params.yaml, its pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.requests.kinds import StyleRequest
from flows.requests.kinds.captioned import MAX_HELD_OUT
from flows.requests.request import parse_request
from flows.requests.settings import make_settings, write_settings
from flows.requests.site import Site
from oft.errors import DataError
from oft.params import parse_params
from oft.profiles import list_profiles

from ..conftest import picture, zipped
from .conftest import CONF, Faults, Place

Asked = dict[str, Any]
TASK = StyleRequest.task


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """A sound request for four captioned pictures."""
    (tmp_path / "trainings").mkdir()
    files = {f"{n}.png": picture(n) for n in range(4)} | {f"{n}.txt": b"a cat" for n in range(4)}
    (tmp_path / "trainings" / "ink.zip").write_bytes(zipped(files))
    return {"kind": "style", "images": "ink.zip", "output": "results"}


def test_a_style_has_only_what_a_style_has(asked: Asked, site: Site, faults: Faults, tmp_path: Path) -> None:
    request = parse_request(asked | {"caption_template": "{caption}, naruto style"}, site)
    assert isinstance(request, StyleRequest)
    assert request.images == str(tmp_path / "trainings" / "ink.zip")
    assert parse_request(request.model_dump(), site) == request
    message = faults(
        asked | {"instance_prompt": "a sks dog", "prior_loss_weight": 1.0, "condition": "canny", "image": "x"}
    )
    assert message.startswith("4 parameter(s)")
    for key, kind in (
        ("instance_prompt", "subject"),
        ("prior_loss_weight", "subject"),
        ("condition", "control"),
    ):
        said = f"{key}: a training of kind 'style' has none; remove it, or set kind to '{kind}'"
        assert said in message
    assert "image: unknown key; did you mean 'images'?" in message
    # And the other way: without a kind it is a subject's.
    message = faults({key: value for key, value in asked.items() if key != "kind"})
    assert (
        "images: a training of kind 'subject' has none; remove it, or set kind to 'style' or 'control'"
        in message
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"kind": "styl"},
            "kind: must be one of subject, style, control; it is 'styl'; did you mean 'style'?",
        ),
        ({"kind": ["style"]}, "kind: must be one of subject, style, control; it is ['style']"),
        ({"caption_template": "{caption} and {caption}"}, "caption_template: must be one line"),
        ({"caption_template": "{caption}, ${seed}"}, "it has '$' '{' '}'"),
        ({"caption_template": "{caption!r}, ink"}, "it has '{' '}'"),
        ({"caption_template": ""}, "caption_template: must be one line"),
        ({"caption_template": "{caption},  ink"}, "one space between two"),
        ({"caption_template": "{caption}, " + "very " * 80 + "ink"}, "at most 300 characters long"),
        ({"gallery_prompts": ["a cat $HOME"]}, "gallery_prompts.0: must be one line"),
        ({"gallery_prompts": ["a cat"] * 51}, "gallery_prompts: list should have at most 50 items"),
        ({"images": "../secrets"}, "images: must be a path of printable letters without '..'"),
        ({"images": "https://10.0.0.1/planted.zip"}, "images: leads to 10.0.0.1, which is no public address"),
        ({"validation_images": "/etc"}, "validation_images: lies outside of what this server allows"),
        (
            {"validation_images": "https://me:planted@example.org/a.zip"},
            "validation_images: must have no user",
        ),
        ({"adapter": "hint"}, "can learn a style, oft, coft, lora, "),
        ({"adapter": "controlnet"}, "it is 'controlnet'"),
        ({"lr_warmup_steps": 550}, "must be below the training's steps, 550"),
    ],
)
def test_a_hostile_parameter_is_refused_with_the_reason(
    change: Asked, said: str, asked: Asked, faults: Faults
) -> None:
    message = faults(asked | change)
    assert said in message and "planted" not in message and len(message) < 1000


@pytest.mark.parametrize(
    "template", ["{caption}, naruto style", "TOK, {caption}", "{caption}", "in ink", "a {caption}'s sketch"]
)
def test_a_caption_template_is_one_of_the_pipeline(template: str, asked: Asked, site: Site) -> None:
    request = parse_request(asked | {"caption_template": template}, site)
    params = parse_params(make_settings(request, CONF))
    assert params.datasets["requested"].captions.template == template


@pytest.mark.parametrize("profile", list_profiles(CONF))
def test_every_profile_takes_a_style(profile: str, asked: Asked, tmp_path: Path) -> None:
    request = parse_request(
        asked | {"profile": profile, "adapter": "coft", "max_train_steps": 9, "seed": 5, "num_blocks": 2}
    )
    params = write_settings(make_settings(request, CONF), tmp_path / "params.yaml")
    assert (params.trained_tasks, params.style_adapters) == ([TASK], ["coft"])
    assert (params.control_adapters, params.subject_adapters, params.base_tasks) == ([], [], [])
    assert (params.seed, params.train.max_train_steps) == (5, 9)
    assert params.train.warmup_steps < 9
    assert params.sample.num_samples == 4 and params.drawings == {}


def test_the_training_and_its_prompts_are_those_of_the_request(asked: Asked, site: Site) -> None:
    request = parse_request(
        asked
        | {
            "gallery_prompts": ["a dog in ink", "a cat in ink"],
            "num_gallery_images": 3,
            "learning_rate": 0.01,
            "lr_scheduler": "constant_with_warmup",
            "lr_warmup_steps": 7,
            "scale_lr": True,
            "resolution_px": 128,
        },
        site,
    )
    params = parse_params(make_settings(request, CONF))
    training = params.training_of(TASK, "oft")
    assert (training.learning_rate, training.schedule, training.warmup_steps) == (0.01, "constant", 7)
    assert training.scale_lr and params.resolution_px == 128
    drawing = params.drawings["gallery"]
    assert (drawing.task, drawing.adapter, drawing.num_samples) == (TASK, "oft", 3)
    assert drawing.prompts == ["a dog in ink", "a cat in ink"]
    assert request.stages == ["evaluate_style", "draw"]
    assert request.shown == Path("runs") / TASK / "oft" / "drawings" / "gallery"
    plain = parse_request(asked, site)
    assert plain.stages == ["evaluate_style"] and plain.shown == Path("runs") / TASK / "oft" / "samples"


def entries(clone: Path, made: Asked, dataset: str = "requested") -> dict[str, list[Asked]]:
    folder = clone / made["datasets"][dataset]["acquire"]["source"]
    return {
        path.parent.name: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in sorted(folder.glob("*/metadata.jsonl"))
    }


def test_equal_pictures_make_equal_settings_with_some_held_out(
    asked: Asked, place: Place, tmp_path: Path
) -> None:
    made = place(asked)
    assert {part: len(lines) for part, lines in entries(tmp_path / "clone", made).items()} == {
        "train": 3,
        "validation": 1,
    }
    assert place(asked) == made
    # Under other names, in a folder, with metadata.
    folder = tmp_path / "trainings" / "folder"
    folder.mkdir()
    lines = []
    for number in range(4):
        (folder / f"other-{9 - number}.png").write_bytes(picture(number))
        lines.append(json.dumps({"file_name": f"other-{9 - number}.png", "text": "a cat"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert place(asked | {"images": "folder"}) == made


def test_pictures_given_to_validate_are_those_that_are_held_out(
    asked: Asked, place: Place, tmp_path: Path
) -> None:
    files = {"a.png": picture(7), "a.txt": b"a dog"}
    (tmp_path / "trainings" / "val.zip").write_bytes(zipped(files))
    found = entries(tmp_path / "clone", place(asked | {"validation_images": "val.zip"}))
    assert [len(found[part]) for part in ("train", "validation")] == [4, 1]
    assert found["validation"][0]["text"] == ["a dog"]
    many = {f"{n}.png": picture(n) for n in range(MAX_HELD_OUT + 1)}
    (tmp_path / "trainings" / "many.zip").write_bytes(zipped(many))
    with pytest.raises(DataError, match="validation_images: there are more than 25 files"):
        place(asked | {"validation_images": "many.zip"})


def test_a_template_that_is_the_caption_needs_none_in_the_pictures(
    asked: Asked, place: Place, tmp_path: Path
) -> None:
    bare = {f"IMG_{n}.png": picture(n) for n in range(2)}
    (tmp_path / "trainings" / "bare.zip").write_bytes(zipped(bare))
    with pytest.raises(DataError, match=r"images: 2 of 2 pictures cannot be used"):
        place(asked | {"images": "bare.zip"})
    made = place(asked | {"images": "bare.zip", "caption_template": "in ink"})
    assert {part: len(lines) for part, lines in entries(tmp_path / "clone", made).items()} == {
        "train": 1,
        "validation": 1,
    }
