from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from oft.errors import CheckpointError, DataError
from oft.evaluation.preprocessing import (
    Preprocessing,
    parse_preprocessing,
    prepare_batches,
    prepare_pictures,
    read_preprocessing,
)

CPU = torch.device("cpu")


def test_default_maps_black_and_white_to_minus_one_and_one() -> None:
    pictures = np.stack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)])
    values = prepare_pictures(pictures, Preprocessing(), CPU)
    assert values.shape == (2, 3, 4, 4)
    assert (values[0] == -1).all()
    assert (values[1] == 1).all()


def test_constants_are_applied_per_channel() -> None:
    picture = np.full((1, 2, 2, 3), 255, np.uint8)
    values = prepare_pictures(picture, Preprocessing(mean=(0.5, 0.0, 1.0), std=(0.5, 2.0, 1.0)), CPU)
    assert values[0, :, 0, 0].tolist() == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(("interpolation", "pil"), [("bilinear", 2), ("bicubic", 3)])
@pytest.mark.parametrize("edge", [12, 50])
def test_resizing_agrees_with_pil(
    pictures: np.ndarray, interpolation: Literal["bilinear", "bicubic"], pil: int, edge: int
) -> None:
    preprocessing = Preprocessing((0,) * 3, (1,) * 3, (edge, edge), None, interpolation)
    values = prepare_pictures(pictures[:1], preprocessing, CPU)[0].permute(1, 2, 0).numpy() * 255
    for channel in range(3):  # as floats: PIL rounds 8-bit pictures after each of its two passes
        source = Image.fromarray(pictures[0, ..., channel].astype(np.float32))
        expected = np.asarray(source.resize((edge, edge), Image.Resampling(pil))).clip(0, 255)
        np.testing.assert_allclose(values[..., channel], expected, atol=0.01)


def test_shortest_edge_keeps_the_shape_and_the_crop_is_central() -> None:
    picture = np.zeros((1, 20, 40, 3), np.uint8)
    picture[:, :, 10:30] = 255
    preprocessing = Preprocessing(resize_px=10, crop_px=(10, 10))
    assert prepare_pictures(picture, Preprocessing(resize_px=10), CPU).shape == (1, 3, 10, 20)
    assert (prepare_pictures(picture, preprocessing, CPU)[..., 1:-1] == 1).all()


def test_preparation_agrees_with_the_image_processor_of_clip(pictures: np.ndarray) -> None:
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor(
        size={"shortest_edge": 24}, crop_size={"height": 20, "width": 20}, do_center_crop=True
    )
    expected = processor(list(pictures), return_tensors="pt").pixel_values
    values = prepare_pictures(pictures, parse_preprocessing(processor.to_dict()), CPU)
    assert values.shape == expected.shape
    assert (values - expected).abs().max() < 2 / 255 / 0.26  # it rounds to whole values after each pass


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Preprocessing()),
        ({"size": 64}, Preprocessing(resize_px=(64, 64))),
        ({"size": 64, "do_resize": False}, Preprocessing()),
        ({"size": {"height": 48, "width": 64}}, Preprocessing(resize_px=(48, 64))),
        (
            {"size": {"shortest_edge": 48}, "resample": 3},
            Preprocessing(resize_px=48, interpolation="bicubic"),
        ),
        (
            {"size": 48, "do_center_crop": True, "crop_size": 40},
            Preprocessing(resize_px=48, crop_px=(40, 40)),
        ),
        ({"do_normalize": False}, Preprocessing(mean=(0, 0, 0), std=(1, 1, 1))),
        ({"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}, Preprocessing((0.1, 0.2, 0.3), (1, 2, 3))),
    ],
)
def test_every_stored_form_is_understood(config: dict[str, Any], expected: Preprocessing) -> None:
    assert parse_preprocessing(config) == expected


def test_a_folder_without_the_file_has_the_default(tmp_path: Path) -> None:
    assert read_preprocessing(tmp_path) == Preprocessing()


def test_keys_of_a_whole_processor_are_found(tmp_path: Path) -> None:
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {"size": 32}}))
    assert read_preprocessing(tmp_path) == Preprocessing(resize_px=(32, 32))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"image_mean": [0.5]}',
        '{"image_std": [0, 1, 1]}',
        '{"size": {"depth": 3}}',
        '{"size": 0}',
        '{"resample": 9}',
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json: image_mean"):
        read_preprocessing(tmp_path)


def test_batches_keep_the_order_and_the_last_is_short(pictures: np.ndarray) -> None:
    batches = list(prepare_batches(pictures, Preprocessing(), 3, CPU))
    assert [len(batch) for batch in batches] == [3, 3, 2]
    assert torch.equal(torch.cat(batches), prepare_pictures(pictures, Preprocessing(), CPU))


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (4, 4, 3), (1, 3, 4, 4)])
def test_pictures_of_another_layout_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="pictures must be uint8"):
        prepare_pictures(np.zeros(shape, np.uint8), Preprocessing(), CPU)
