"""The base checkpoint: placed whole, tied to a hash, refused with a reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from oft.errors import CheckpointError
from oft.models.base import hash_weights, latent_shape, load_base, place_base, read_card
from tests.conftest import ROOT

MINIATURE = ROOT / "data" / "models" / "miniature" / "base"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MINIATURE, tmp_path / "source"))


def test_the_pipeline_of_diffusers_loads_the_shipped_base() -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(MINIATURE)
    assert pipeline.unet.config.cross_attention_dim == pipeline.text_encoder.config.hidden_size


def test_a_placed_base_is_frozen_float32_and_hashed(base_folder: Path) -> None:
    base = load_base(base_folder)
    assert base.hash == hash_weights(base_folder) == read_card(base_folder)["hash"]
    for network in (base.unet, base.vae, base.text_encoder):
        assert not network.training
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in network.parameters())
    assert latent_shape(base, 64) == (16, 8, 8)


def test_placing_twice_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        place_base(source, tmp_path / name, "mine")
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_the_hash_follows_the_weights(source: Path, tmp_path: Path) -> None:
    before = hash_weights(source)
    weights = next((source / "unet").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert hash_weights(source) != before


def test_parts_that_do_not_fit_are_named(source: Path, tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=16,
        layers_per_block=1,
        block_out_channels=(16,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=64,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    shutil.rmtree(source / "unet")
    unet.save_pretrained(source / "unet")
    place_base(source, tmp_path / "out", "mine")
    with pytest.raises(CheckpointError, match="unet in_channels is 4, vae latent_channels 16") as raised:
        load_base(tmp_path / "out")
    assert "unet cross_attention_dim is 64, text encoder hidden_size 128" in str(raised.value)


def test_a_checkpoint_without_its_index_is_refused(source: Path, tmp_path: Path) -> None:
    (source / "model_index.json").unlink()
    with pytest.raises(CheckpointError, match=r"model_index\.json is missing.*base\.source"):
        place_base(source, tmp_path / "out", "mine")


@pytest.mark.parametrize("part", ["unet", "tokenizer"])
def test_a_missing_part_is_named(source: Path, tmp_path: Path, part: str) -> None:
    shutil.rmtree(source / part)
    with pytest.raises(CheckpointError, match=rf"{part}/ is missing.*base\.source"):
        place_base(source, tmp_path / "out", "mine")
    assert not (tmp_path / "out").exists()


def test_pickled_weights_are_refused_and_not_copied(source: Path, tmp_path: Path) -> None:
    (source / "vae" / "extra.bin").write_bytes(b"pickle")
    place_base(source, tmp_path / "out", "mine")
    assert not (tmp_path / "out" / "vae" / "extra.bin").exists()
    for weights in (source / "vae").glob("*.safetensors"):
        weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(CheckpointError, match="must be in safetensors"):
        place_base(source, tmp_path / "out", "mine")


def test_damaged_weights_are_named(source: Path, tmp_path: Path) -> None:
    place_base(source, tmp_path / "out", "mine")
    weights = next((tmp_path / "out" / "vae").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"vae.*AutoencoderKL.*dvc checkout"):
        load_base(tmp_path / "out")


def test_a_size_that_the_autoencoder_cannot_halve_is_refused(base_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="multiple of the autoencoder's factor 8"):
        latent_shape(load_base(base_folder), 60)


def test_an_unplaced_base_says_how_to_place_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="dvc repro base"):
        load_base(tmp_path)
