"""What the fields of the page ask for; anything may arrive in them."""

from __future__ import annotations

from typing import Any

import pytest

from oft.demo.form import MAX_NUMBER, MAX_PROMPT_CHARS, MAX_SEED, Form, read_form
from oft.errors import ParamsError
from oft.generation.defaults import sampling_settings
from oft.params import Params

FIELDS: dict[str, Any] = {
    "prompt": "a red house",
    "negative_prompt": "",
    "labels": ["base alone"],
    "strength": 1,
    "seed": 0,
    "number": 1,
    "steps": 3,
    "guidance": 3,
}


def read(params: Params, **changes: Any) -> Form:
    return read_form(params, **{**FIELDS, **changes})


def test_what_the_page_does_not_ask_for_is_as_in_params(params: Params) -> None:
    form = read(params, steps=7, guidance=2.5, negative_prompt="rain", number=3)
    expected = params.sample.model_copy(
        update={
            "num_inference_steps": 7,
            "guidance_scale": 2.5,
            "negative_prompt": "rain",
            "batch_size": 3,
        }
    )
    assert form.settings == expected


@pytest.mark.parametrize("number", [1, 5, MAX_NUMBER])
def test_pictures_a_batch_are_those_of_the_command(params: Params, number: int) -> None:
    batch_size = read(params, number=number).settings.batch_size
    assert batch_size == min(number, sampling_settings(None, {}).batch_size)


def test_whole_numbers_may_be_written_with_a_point_and_prompts_with_breaks(params: Params) -> None:
    form = read(params, seed=7.0, number=2.0, steps=4.0, prompt=" a red\nhouse ")
    assert (form.seed, form.number, form.settings.num_inference_steps) == (7, 2, 4)
    assert form.prompt == "a red house"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", " \n"),
        ("prompt", "x" * (MAX_PROMPT_CHARS + 1)),
        ("prompt", ["a"]),
        ("prompt", None),
        ("negative prompt", 3),
        ("strength", None),
        ("strength", 2.1),
        ("strength", float("nan")),
        ("seed", None),
        ("seed", -1),
        ("seed", 0.5),
        ("seed", MAX_SEED),
        ("seed", float("inf")),
        ("number", 0),
        ("number", MAX_NUMBER + 1),
        ("number", True),
        ("steps", 0),
        ("steps", "12"),
        ("guidance", None),
        ("guidance", float("nan")),
        ("guidance_scale", 0.5),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(params: Params, field: str, value: Any) -> None:
    key = {"negative prompt": "negative_prompt", "guidance_scale": "guidance"}.get(field, field)
    with pytest.raises(ParamsError, match=field):
        read(params, **{key: value})


def test_a_negative_prompt_needs_guidance(params: Params) -> None:
    with pytest.raises(ParamsError, match="negative_prompt"):
        read(params, guidance=1, negative_prompt="rain")
