"""What pictures are drawn from: prompts, conditioning images, masks; what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oft.conditions.canny import extract_canny
from oft.errors import DataError, ParamsError
from oft.generation.inputs import (
    caption_beside,
    extract_conditions,
    find_pictures,
    read_condition,
    read_mask,
    read_prompts,
)
from oft.params import Params


def test_prompts_are_lines(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufeffa red house\r\n\r\n  a boat \n".encode())
    assert read_prompts(file) == ["a red house", "a boat"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00\xd8"])
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"prompts\.txt"):
        read_prompts(file)


def test_a_folder_is_its_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "a.txt").write_text("a house", encoding="utf-8")
    (tmp_path / ".hidden.png").touch()
    assert [path.name for path in find_pictures(tmp_path)] == ["a.jpg", "b.png"]
    assert caption_beside(tmp_path / "a.jpg") == "a house"
    assert caption_beside(tmp_path / "b.png") is None


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is none"):
        find_pictures(tmp_path)


def test_conditioning_images_keep_their_colours(tmp_path: Path) -> None:
    colours = np.zeros((32, 48, 3), np.uint8)
    colours[:, 24:] = (255, 128, 0)
    Image.fromarray(colours).save(tmp_path / "map.png")
    shown = read_condition(tmp_path / "map.png", 16)
    assert shown.shape == (16, 16, 3)
    assert {tuple(pixel) for pixel in shown.reshape(-1, 3).tolist()} == {(0, 0, 0), (255, 128, 0)}


def test_a_mask_is_white_where_it_is_drawn_anew(tmp_path: Path) -> None:
    grey = np.zeros((16, 16), np.uint8)
    grey[:, 8:] = 200
    Image.fromarray(grey).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", 16).tolist() == [[False] * 8 + [True] * 8] * 16
    Image.new("L", (16, 16)).save(tmp_path / "black.png")
    with pytest.raises(DataError, match="black all over"):
        read_mask(tmp_path / "black.png", 16)


def test_a_condition_is_made_as_the_pipeline_makes_it(params: Params) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    settings = params.conditions.canny.model_dump()
    (made,) = extract_conditions("canny", settings, [picture], "cpu")
    assert np.array_equal(made, extract_canny(picture, **settings))
    assert made.any()


@pytest.mark.parametrize("name", ["cany", "landmarks", "given"])
def test_what_cannot_be_made_from_a_picture_is_refused(name: str) -> None:
    with pytest.raises(ParamsError, match=rf"--extract \({name}\).*canny"):
        extract_conditions(name, {}, [np.zeros((64, 64, 3), np.uint8)], "cpu")
