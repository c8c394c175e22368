"""Files that a browser fetches: the settings are in them, names tell pictures apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from oft.demo.catalogue import BASE_ALONE, Column
from oft.demo.files import by_seed, write_column
from oft.demo.studio import ColumnPictures
from oft.generation.png import DrawnPicture, read_settings
from tests.oft.generation.test_png import SETTINGS

TOY = Column("../toy / oft", Path("toy"), "toy")


def column(column: Column, *, with_condition: bool = False) -> ColumnPictures:
    rng = np.random.default_rng(0)
    pictures = [
        DrawnPicture(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), {**SETTINGS, "seed": seed})
        for seed in (3, 4)
    ]
    condition = np.full((16, 16, 3), 7, np.uint8) if with_condition else None
    return ColumnPictures(column, pictures, condition)


def test_files_hold_pixels_and_settings(tmp_path: Path) -> None:
    drawn = column(TOY, with_condition=True)
    shown, condition = write_column(drawn, tmp_path)
    assert [one.file.name for one in shown] == ["toy-oft-seed-3.png", "toy-oft-seed-4.png"]
    assert all(one.file.parent.parent == tmp_path for one in shown)
    for one, picture in zip(shown, drawn.pictures, strict=True):
        assert read_settings(one.file) == picture.settings
        with Image.open(one.file) as image:
            assert np.array_equal(np.asarray(image), picture.pixels)
        assert f"Seed: {picture.settings['seed']}" in one.settings
        assert f"seed {picture.settings['seed']}" in one.caption
    assert condition is not None
    assert drawn.condition is not None
    with Image.open(condition) as image:
        assert np.array_equal(np.asarray(image), drawn.condition)


def test_a_second_draw_leaves_the_files_of_the_first(tmp_path: Path) -> None:
    (first, *_), none = write_column(column(TOY), tmp_path)
    (second, *_), _ = write_column(column(TOY), tmp_path)
    assert none is None
    assert first.file != second.file
    assert first.file.read_bytes() == second.file.read_bytes()


def test_rows_are_seeds(tmp_path: Path) -> None:
    columns = [write_column(column(each), tmp_path)[0] for each in (BASE_ALONE, TOY)]
    assert [one.caption for one in by_seed(columns)] == [
        "base alone, seed 3",
        "../toy / oft, seed 3",
        "base alone, seed 4",
        "../toy / oft, seed 4",
    ]
