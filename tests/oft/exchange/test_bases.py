"""A base is known by the card it was placed with, and by the same hash without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from oft.errors import CheckpointError
from oft.exchange.bases import identify_base, load_unet


def test_a_base_has_one_hash_placed_or_not(base_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(base_folder, tmp_path / "copy"))
    (copy / "base.json").unlink()
    (copy / "safety_checker").mkdir()
    shutil.copy(next((copy / "vae").glob("*.safetensors")), copy / "safety_checker" / "model.safetensors")
    assert identify_base(copy).hash == identify_base(base_folder).hash
    assert (identify_base(copy).name, identify_base(base_folder).name) == ("copy", "miniature")


def test_the_unet_is_frozen_and_float32(base_folder: Path) -> None:
    unet = load_unet(base_folder)
    assert not unet.training
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in unet.parameters())


def test_a_damaged_unet_is_named(base_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(base_folder, tmp_path / "copy"))
    file = next((copy / "unet").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="unet: cannot be loaded as UNet2DConditionModel"):
        load_unet(copy)
