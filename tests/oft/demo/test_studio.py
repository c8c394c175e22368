"""Columns of one base: what `oft generate` draws, and a base that is as before after each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oft.conditions.canny import extract_canny
from oft.demo.catalogue import BASE_ALONE, find_adapters
from oft.demo.form import Form, read_form
from oft.demo.shown import AS_IT_IS, NOTHING, UPLOAD, Given
from oft.demo.studio import Studio
from oft.errors import CheckpointError, ParamsError
from oft.models.base import load_base
from oft.params import load_params
from oft.pictures import encode_png
from tests.conftest import SIZE_PX
from tests.oft.demo.test_form import FIELDS

CONTROL, TOY = "canny_coco / oft", "subject_robot_toy / lora"


@pytest.fixture
def studio(run: Path, base_folder: Path) -> Studio:
    params = load_params()
    return Studio(load_base(base_folder), params.resolution_px, find_adapters(params), params)


def form(studio: Studio, *labels: str, **changes: Any) -> Form:
    return read_form(studio.params, **{**FIELDS, "labels": list(labels), **changes})


@pytest.fixture
def edges(tmp_path: Path) -> Path:
    picture = np.full((SIZE_PX, SIZE_PX, 3), 220, np.uint8)
    picture[16:40, 20:50] = (200, 30, 30)
    (tmp_path / "edges.png").write_bytes(
        encode_png(extract_canny(picture, low_threshold=100, high_threshold=200))
    )
    return tmp_path / "edges.png"


def weights(studio: Studio) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in studio.base.unet.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_columns_have_the_same_seeds_and_other_pictures(studio: Studio, edges: Path) -> None:
    asked = form(studio, BASE_ALONE.label, CONTROL, TOY, seed=5, number=2)
    columns = list(studio.draw(asked, Given(UPLOAD, upload=edges, extraction=AS_IT_IS)))
    assert [one.column.label for one in columns] == [BASE_ALONE.label, CONTROL, TOY]
    assert [[p.settings["seed"] for p in one.pictures] for one in columns] == [[5, 6]] * 3
    pictures = [one.pictures[0].pixels for one in columns]
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    assert [one.condition is not None for one in columns] == [False, True, False]
    assert [one.pictures[0].settings["adapters"] for one in columns] == [
        [],
        [{"path": "runs/canny_coco/oft/magnitude", "kind": "oft", "strength": 1.0}],
        [{"path": "runs/subject_robot_toy/lora/magnitude", "kind": "peft", "strength": 1.0}],
    ]


def test_the_base_carries_nothing_between_columns(studio: Studio) -> None:
    before = weights(studio)
    drawn = studio.draw(form(studio, BASE_ALONE.label, TOY), Given(NOTHING))
    for _ in drawn:
        assert same(weights(studio), before)
    started = studio.draw(form(studio, TOY, BASE_ALONE.label), Given(NOTHING))
    next(started)
    started.close()
    assert same(weights(studio), before)


def test_without_strength_an_adapter_is_the_base(studio: Studio) -> None:
    base, toy = studio.draw(form(studio, BASE_ALONE.label, TOY, strength=0), Given(NOTHING))
    assert np.array_equal(base.pictures[0].pixels, toy.pictures[0].pixels)


def test_what_cannot_be_drawn_is_refused_before_anything_is(studio: Studio) -> None:
    drawn = studio.draw(form(studio, BASE_ALONE.label, CONTROL), Given(NOTHING))
    with pytest.raises(ParamsError, match=CONTROL):
        next(drawn)


def test_a_damaged_adapter_is_named_and_the_base_stays_sound(studio: Studio, tmp_path: Path) -> None:
    import shutil
    from dataclasses import replace

    (toy,) = [column for column in studio.catalogue.adapters if column.label == TOY]
    assert toy.folder is not None
    shutil.copytree(toy.folder, tmp_path / "cut")
    file = tmp_path / "cut/adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    studio.catalogue = type(studio.catalogue)([replace(toy, folder=tmp_path / "cut")])
    before = weights(studio)
    with pytest.raises(CheckpointError, match="cut"):
        list(studio.draw(form(studio, TOY), Given(NOTHING)))
    assert same(weights(studio), before)
    assert len(list(studio.draw(form(studio, BASE_ALONE.label), Given(NOTHING)))) == 1
