"""PNG files that say how they were drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oft.errors import DataError
from oft.generation.png import DrawnPicture, read_settings, readable

SETTINGS: dict[str, Any] = {
    "prompt": "ein Hündchen, 犬",
    "negative_prompt": "blurry",
    "scheduler": "dpmsolver++",
    "num_inference_steps": 12,
    "guidance_scale": 3.0,
    "seed": 2**62,
    "noise": 0.5,
    "base": {"name": "miniature", "hash": "abcdef0123456789"},
    "adapters": [{"path": "runs/a/oft/magnitude", "kind": "oft", "strength": 0.5}],
}


@pytest.fixture
def picture() -> DrawnPicture:
    return DrawnPicture(np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8), SETTINGS)


def test_pixels_and_settings_come_back(picture: DrawnPicture, tmp_path: Path) -> None:
    picture.write(tmp_path / "a.png")
    assert read_settings(tmp_path / "a.png") == SETTINGS
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), picture.pixels)


def test_equal_pictures_give_equal_bytes(picture: DrawnPicture, tmp_path: Path) -> None:
    picture.write(tmp_path / "a.png")
    DrawnPicture(picture.pixels, dict(reversed(SETTINGS.items()))).write(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_settings_are_written_as_other_programs_do() -> None:
    assert readable(SETTINGS, (16, 24, 3)).split("\n") == [
        "ein Hündchen, 犬",
        "Negative prompt: blurry",
        "Steps: 12, Sampler: DPM++ 2M Karras, CFG scale: 3.0, Seed: 4611686018427387904, Size: 24x16, "
        "Model hash: abcdef0123, Model: miniature, Denoising strength: 0.5, "
        "Adapter runs/a/oft/magnitude: 0.5",
    ]


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_what_has_no_settings_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png"):
        read_settings(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png"):
        read_settings(tmp_path / "a.png")
