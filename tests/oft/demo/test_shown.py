"""Conditioning images from a sketch or an upload: what is shown to which adapter, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oft.conditions.canny import extract_canny
from oft.conditions.lineart_standard import extract_lineart_standard
from oft.demo.catalogue import BASE_ALONE, Column
from oft.demo.shown import (
    AS_IT_IS,
    NOTHING,
    OF_THE_TASK,
    SKETCH,
    UPLOAD,
    Given,
    Square,
    conditions_of,
    extractions,
    fit_sketch,
)
from oft.errors import DataError, ParamsError
from oft.params import Params

SIDE_PX = 64
EDGES = Column("a / oft", Path("a"), "a", True, "canny")
LINES = Column("b / oft", Path("b"), "b", True, "lineart_standard")
FACES = Column("c / oft", Path("c"), "c", True, "landmarks")
PAST = Column("d / oft", Path("d"), "d", True, None)
TOY = Column("e / oft", Path("e"), "e", False, None)


def make(columns: list[Column], given: Given, params: Params) -> dict[str, Square]:
    return conditions_of(columns, given, params, SIDE_PX, "cpu")


@pytest.fixture
def pixels() -> np.ndarray:
    pixels = np.full((SIDE_PX, SIDE_PX, 3), 220, np.uint8)
    pixels[16:40, 20:50] = (200, 30, 30)
    return pixels


@pytest.fixture
def photo(pixels: np.ndarray, tmp_path: Path) -> Path:
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_only_those_that_take_a_condition_are_shown_one(params: Params, photo: Path) -> None:
    columns = [BASE_ALONE, EDGES, TOY]
    assert make(columns, Given(UPLOAD, upload=photo), params).keys() == {EDGES.label}
    assert make([BASE_ALONE, TOY], Given(NOTHING), params) == {}


def test_an_upload_may_be_the_condition_itself(params: Params, photo: Path, pixels: np.ndarray) -> None:
    given = Given(UPLOAD, upload=photo, extraction=AS_IT_IS)
    assert np.array_equal(make([EDGES], given, params)[EDGES.label], pixels)


def test_a_condition_by_name_is_made_as_the_pipeline_makes_it(
    params: Params, photo: Path, pixels: np.ndarray
) -> None:
    made = make([EDGES, LINES], Given(UPLOAD, upload=photo, extraction="canny"), params)
    expected = extract_canny(pixels, **params.conditions.canny.model_dump())
    assert expected.any()
    assert np.array_equal(made[EDGES.label], expected)
    assert np.array_equal(made[LINES.label], expected)


def test_each_adapter_may_be_shown_what_it_was_trained_with(
    params: Params, photo: Path, pixels: np.ndarray
) -> None:
    made = make([EDGES, LINES], Given(UPLOAD, upload=photo, extraction=OF_THE_TASK), params)
    settings = params.conditions
    edges = extract_canny(pixels, **settings.canny.model_dump())
    lines = extract_lineart_standard(pixels, **settings.lineart_standard.model_dump())
    assert np.array_equal(made[EDGES.label], edges)
    assert np.array_equal(made[LINES.label], lines)
    assert not np.array_equal(edges, lines)


def test_a_sketch_keeps_its_place_and_its_thin_lines() -> None:
    canvas = np.zeros((384, 384, 3), np.uint8)
    canvas[100, :] = 255  # one pixel of 384, less than one of 64
    sketch = fit_sketch(canvas, SIDE_PX)
    assert sketch.shape == (SIDE_PX, SIDE_PX, 3)
    assert sketch[100 * SIDE_PX // 384].min() > 0
    assert not np.delete(sketch, 100 * SIDE_PX // 384, axis=0).any()


@pytest.mark.parametrize("canvas", [None, np.zeros((384, 384, 3), np.uint8)])
def test_an_empty_sketch_is_refused(params: Params, canvas: np.ndarray | None) -> None:
    with pytest.raises(ParamsError, match="sketch is empty"):
        make([EDGES], Given(SKETCH, sketch=canvas), params)


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        ([BASE_ALONE, EDGES], Given(NOTHING), "a / oft: this adapter takes a conditioning image"),
        ([BASE_ALONE, TOY], Given(UPLOAD, upload=Path("x")), "none of the chosen adapters"),
        ([EDGES], Given(UPLOAD), "upload one"),
        ([FACES], Given(UPLOAD, upload=Path("x"), extraction=OF_THE_TASK), "landmarks"),
        ([PAST], Given(UPLOAD, upload=Path("x"), extraction=OF_THE_TASK), "params.yaml does not say"),
        ([EDGES], Given(UPLOAD, upload=Path("x"), extraction="landmarks"), "extract .landmarks."),
        ([EDGES], Given(UPLOAD, upload=Path("x"), extraction="__class__"), "extract .__class__."),
        ([EDGES], Given("elsewhere", upload=Path("x")), "condition .elsewhere."),
    ],
)
def test_what_does_not_go_together_is_refused(
    params: Params, columns: list[Column], given: Given, message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        make(columns, given, params)


@pytest.mark.parametrize("extraction", [AS_IT_IS, "canny"])
@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken", b"<svg/>"])
def test_what_is_no_picture_is_refused_by_its_name_alone(
    params: Params, tmp_path: Path, content: bytes, extraction: str
) -> None:
    (tmp_path / "mine.png").write_bytes(content)
    given = Given(UPLOAD, upload=tmp_path / "mine.png", extraction=extraction)
    with pytest.raises(DataError, match=r"^mine\.png"):
        make([EDGES], given, params)


def test_what_needs_maps_cannot_be_extracted() -> None:
    assert {"canny", "depth", "openpose"} <= set(extractions())
    assert not {"landmarks", "given"} & set(extractions())
