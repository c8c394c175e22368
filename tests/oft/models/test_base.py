"""The base checkpoint: placed whole, tied to a hash, refused with a reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

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
    with pytest.raises(CheckpointError, match="unet in_channels is 4, vae latent_channels 16") as raised:
        place_base(source, tmp_path / "out", "mine")
    assert str(source) in str(raised.value) and not (tmp_path / "out").exists()
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


def test_only_what_is_used_is_copied(source: Path, tmp_path: Path) -> None:
    (source / "unet" / "own.json").symlink_to("/etc/hostname")
    (source / "vae" / "code.py").write_text("")
    (source / "scheduler" / "notes.txt").write_text("")
    place_base(source, tmp_path / "out", "mine")
    placed = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert placed == {
        "base.json",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    }
    (source / "unet" / "config.json").unlink()
    (source / "unet" / "config.json").symlink_to("/etc/hostname")
    with pytest.raises(CheckpointError, match="must lie in its folder, and this is a link to /etc/hostname"):
        place_base(source, tmp_path / "again", "mine")
    assert not (tmp_path / "again").exists()


def test_weights_under_another_name_alone_are_named(source: Path, tmp_path: Path) -> None:
    weights = source / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    with pytest.raises(
        CheckpointError, match=r"unet: .*there are diffusion_pytorch_model\.fp16.*base\.variant"
    ):
        place_base(source, tmp_path / "out", "mine")


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


@pytest.mark.parametrize(
    ("in_channels", "kind"),
    [(33, "an inpainting model"), (32, "an instruct-pix2pix model"), (17, "a depth-to-image model")],
)
def test_a_model_of_another_task_is_called_by_its_name(
    source: Path, tmp_path: Path, in_channels: int, kind: str
) -> None:
    config_file = source / "unet" / "config.json"
    config = json.loads(config_file.read_text("utf-8"))
    config_file.write_text(json.dumps(config | {"in_channels": in_channels}), encoding="utf-8")
    weights_file = source / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(weights_file)
    weights["conv_in.weight"] = torch.zeros(128, in_channels, 3, 3)
    save_file(weights, weights_file, metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError, match=f"source: its UNet takes {in_channels} channels, so it is {kind}"
    ):
        place_base(source, tmp_path / "out", "mine")


def test_values_that_are_no_numbers_are_not_placed(source: Path, tmp_path: Path) -> None:
    weights_file = source / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(weights_file)
    weights["decoder.conv_in.bias"][0] = torch.nan
    save_file(weights, weights_file, metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError, match=r"source/vae: .*1 not finite \(NaN or Inf\): decoder\.conv_in\.bias"
    ):
        place_base(source, tmp_path / "out", "mine")
    assert not (tmp_path / "out").exists()


def test_a_vocabulary_larger_than_the_text_encoders_is_refused(source: Path, tmp_path: Path) -> None:
    config_file = source / "tokenizer" / "tokenizer_config.json"
    config = json.loads(config_file.read_text("utf-8"))
    config_file.write_text(json.dumps(config | {"model_max_length": 1000}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="model_max_length is 1000, the text encoder's max_position"):
        place_base(source, tmp_path / "out", "mine")


def test_a_size_that_the_autoencoder_cannot_halve_is_refused(base_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="multiple of the autoencoder's factor 8"):
        latent_shape(load_base(base_folder), 60)


def test_an_unplaced_base_says_how_to_place_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="dvc repro base"):
        load_base(tmp_path)
