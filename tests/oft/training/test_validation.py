"""A validation grid shows what there is: conditions, targets and what is drawn, all of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oft.models.adapted import init_adapter
from oft.models.base import Base
from oft.params import Params
from oft.prepare.subjects import evaluation_prompts
from oft.sampling import generate, plan
from oft.seeding import generator_for
from oft.settings.data import Subject
from oft.settings.evaluation import Sampling
from oft.shards.shards import decode_image, pack_sample, read_shards, write_shards
from oft.shards.store import ShardFolder
from oft.training.run import GRID_PADDING_PX
from oft.training.validation import grid_drawer
from tests.conftest import SIZE_PX

CELL_PX = SIZE_PX + 2 * GRID_PADDING_PX


@pytest.fixture
def drawing(params: Params) -> Sampling:
    return params.sample.model_copy(update={"num_inference_steps": 1})


def test_a_grid_has_conditions_targets_and_drawn_pictures(
    base: Base, shards_folder: Path, params: Params, drawing: Sampling
) -> None:
    loaded = init_adapter(base, params.adapters["oft"], with_condition=True, generator=generator_for(0))
    draw = grid_drawer(base, loaded, ShardFolder(shards_folder), None, 3, drawing, SIZE_PX, seed=0)
    assert draw is not None
    grid = np.asarray(draw())
    assert grid.shape == (3 * CELL_PX, 3 * CELL_PX, 3)
    first = next(read_shards(shards_folder, "val"))
    top = CELL_PX + GRID_PADDING_PX
    shown = grid[top : top + SIZE_PX, GRID_PADDING_PX : GRID_PADDING_PX + SIZE_PX]
    np.testing.assert_array_equal(shown, decode_image(first))


def test_pictures_of_other_proportions_are_shown_by_their_centre(
    base: Base, tmp_path: Path, params: Params, drawing: Sampling
) -> None:
    rng = np.random.default_rng(0)
    sizes = [(SIZE_PX, 96), (SIZE_PX, 96), (96, SIZE_PX)]
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    samples = [
        pack_sample(f"k{number}", picture, meta={"captions": ["a toy"]}, lossless=True)
        for number, picture in enumerate(pictures)
    ]
    write_shards(samples, tmp_path, "train", 8)
    loaded = init_adapter(base, params.adapters["oft"], with_condition=False, generator=generator_for(0))
    prompts = {"p0": "a toy", "p1": "a red toy"}
    draw = grid_drawer(base, loaded, ShardFolder(tmp_path), prompts, 3, drawing, SIZE_PX, seed=0)
    assert draw is not None
    grid = np.asarray(draw())
    assert grid.shape == (2 * CELL_PX, 3 * CELL_PX, 3)
    inside = slice(GRID_PADDING_PX, GRID_PADDING_PX + SIZE_PX)
    np.testing.assert_array_equal(grid[inside, inside], pictures[0][:, 16:80])


def test_a_subject_is_drawn_for_the_first_of_its_user_s_prompts(
    base: Base, tmp_path: Path, params: Params, drawing: Sampling
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    samples = [
        pack_sample(f"k{number}", picture, meta={"captions": ["a sks toy"]})
        for number, picture in enumerate(pictures)
    ]
    write_shards(samples, tmp_path / "shards", "train", 8)
    own = tmp_path / "prompts.txt"
    own.write_text("a {} on the moon\na {} in the snow\na {} at sea\n", encoding="utf-8")
    subject = Subject.model_validate({"dataset": "rex", "class": "toy", "prompts": str(own)})
    prompts = evaluation_prompts(tmp_path, subject, "a sks toy", "toy", "sks")
    loaded = init_adapter(base, params.adapters["oft"], with_condition=False, generator=generator_for(0))
    draw = grid_drawer(base, loaded, ShardFolder(tmp_path / "shards"), prompts, 2, drawing, SIZE_PX, seed=0)
    assert draw is not None
    below = np.asarray(draw())[CELL_PX:]
    first = {"p00": "a sks toy on the moon", "p01": "a sks toy in the snow"}
    settings = drawing.model_copy(update={"batch_size": 2})
    expected = [picture for _, picture in generate(base, loaded, plan(first, 1, 0), None, settings, SIZE_PX)]
    for place, picture in enumerate(expected):
        left = place * CELL_PX + GRID_PADDING_PX
        shown = below[GRID_PADDING_PX : GRID_PADDING_PX + SIZE_PX, left : left + SIZE_PX]
        np.testing.assert_array_equal(shown, picture)
    assert not np.array_equal(expected[0], expected[1])


def test_no_pictures_no_grid(base: Base, shards_folder: Path, params: Params, drawing: Sampling) -> None:
    loaded = init_adapter(base, params.adapters["oft"], with_condition=True, generator=generator_for(0))
    assert grid_drawer(base, loaded, ShardFolder(shards_folder), None, 0, drawing, SIZE_PX, seed=0) is None
