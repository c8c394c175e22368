"""A merged checkpoint: whole, loadable, equal to the adapter unmerged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.errors import CheckpointError
from oft.exchange import merged
from oft.exchange.bases import identify_base, load_unet
from oft.exchange.merged import write_merged
from oft.models.base import load_base

from .conftest import Inputs, output, without_hint

UNET_FILE = "unet/diffusion_pytorch_model.safetensors"


def test_the_pipeline_of_diffusers_gives_the_unmerged_adapters_outputs(
    base_folder: Path, unet: Any, loaded: OrthogonalAdapter, unet_inputs: Inputs, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionPipeline

    assert not loaded.rotations.merged
    write_merged(tmp_path / "merged", base_folder, loaded.merged_values(), "test")
    assert not loaded.rotations.merged, "the model was changed"
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "merged")
    expected = without_hint(unet, unet_inputs)
    with loaded.rotations.disabled():
        assert (without_hint(unet, unet_inputs) - expected).abs().max() > 1e-2
    torch.testing.assert_close(output(pipeline.unet, unet_inputs), expected, atol=1e-5, rtol=1e-5)


def test_everything_else_is_the_bases(
    base_folder: Path, unet: Any, loaded: OrthogonalAdapter, tmp_path: Path
) -> None:
    weights = loaded.merged_values()
    write_merged(tmp_path / "merged", base_folder, weights, "test")
    files = {path.relative_to(base_folder) for path in base_folder.rglob("*") if path.is_file()}
    made = {
        path.relative_to(tmp_path / "merged") for path in (tmp_path / "merged").rglob("*") if path.is_file()
    }
    assert made == files
    for file in files - {Path(UNET_FILE), Path("base.json")}:
        assert (tmp_path / "merged" / file).read_bytes() == (base_folder / file).read_bytes()
    ours, theirs = load_file(tmp_path / "merged" / UNET_FILE), load_file(base_folder / UNET_FILE)
    changed = {name for name in theirs if not torch.equal(ours[name], theirs[name].float())}
    assert ours.keys() == theirs.keys() and changed == set(weights)


def test_a_merged_checkpoint_is_a_base_of_its_own(
    base_folder: Path, unet: Any, loaded: OrthogonalAdapter, tmp_path: Path
) -> None:
    write_merged(tmp_path / "merged", base_folder, loaded.merged_values(), "a robot")
    base = load_base(tmp_path / "merged")
    assert base.origin == "a robot" and base.hash != identify_base(base_folder).hash
    (tmp_path / "merged" / "base.json").unlink()
    assert identify_base(tmp_path / "merged").hash == base.hash


def test_half_precision_halves_the_file(
    base_folder: Path, unet: Any, loaded: OrthogonalAdapter, unet_inputs: Inputs, tmp_path: Path
) -> None:
    write_merged(tmp_path / "half", base_folder, loaded.merged_values(), "test", torch.float16)
    assert {value.dtype for value in load_file(tmp_path / "half" / UNET_FILE).values()} == {torch.float16}
    sample = output(load_unet(tmp_path / "half"), unet_inputs)
    torch.testing.assert_close(sample, without_hint(unet, unet_inputs), atol=1e-3, rtol=0)


def test_weights_in_shards_stay_in_shards(
    base_folder: Path,
    pristine_unet: Any,
    unet: Any,
    loaded: OrthogonalAdapter,
    unet_inputs: Inputs,
    tmp_path: Path,
) -> None:
    base = tmp_path / "base"
    shutil.copytree(base_folder, base)
    shutil.rmtree(base / "unet")
    pristine_unet.save_pretrained(base / "unet", max_shard_size="8MB")
    assert len(list((base / "unet").glob("*.safetensors"))) > 1
    write_merged(tmp_path / "merged", base, loaded.merged_values(), "test")
    torch.testing.assert_close(
        output(load_unet(tmp_path / "merged"), unet_inputs),
        without_hint(unet, unet_inputs),
        atol=1e-5,
        rtol=1e-5,
    )


def test_pickles_are_left_behind(base_folder: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(base_folder, tmp_path / "base"))
    (base / "vae" / "diffusion_pytorch_model.bin").touch()
    write_merged(tmp_path / "merged", base, {}, "test")
    assert not list((tmp_path / "merged").rglob("*.bin"))


def test_a_weight_the_base_has_not_is_named_and_nothing_is_written(base_folder: Path, tmp_path: Path) -> None:
    weights = {"nowhere.weight": torch.zeros(1, 1), "conv_out.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"has none for conv_out.weight, nowhere.weight"):
        write_merged(tmp_path / "merged", base_folder, weights, "test")
    assert not list(tmp_path.iterdir())


def test_an_index_cannot_lead_out_of_the_folder(base_folder: Path, tmp_path: Path) -> None:
    base, outside = Path(shutil.copytree(base_folder, tmp_path / "base")), tmp_path / "outside.safetensors"
    save_file({"conv_in.weight": torch.zeros(1)}, outside)
    index = base / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text('{"weight_map": {"conv_in.weight": "../../outside.safetensors"}}')
    before = outside.read_bytes()
    write_merged(tmp_path / "merged", base, {}, "test")
    assert outside.read_bytes() == before


def test_an_interrupted_merge_leaves_nothing(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(merged, "write_json", fail)
    with pytest.raises(KeyboardInterrupt):
        write_merged(tmp_path / "merged", base_folder, {}, "test")
    assert not list(tmp_path.iterdir())


def test_only_the_checkpoint_itself_is_copied(base_folder: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(base_folder, base)
    (base / "v1-5-pruned.safetensors").write_bytes(b"whole")
    (base / ".git").mkdir()
    (base / "unet" / "diffusion_pytorch_model.non_ema.safetensors").write_bytes(b"variant")
    write_merged(tmp_path / "merged", base, {}, "nothing")
    names = {path.relative_to(tmp_path / "merged").as_posix() for path in (tmp_path / "merged").rglob("*")}
    assert {"v1-5-pruned.safetensors", ".git"}.isdisjoint(names)
    assert "unet/diffusion_pytorch_model.non_ema.safetensors" not in names
    assert {"model_index.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json"} <= names


def test_a_base_with_pickled_parts_is_refused(base_folder: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(base_folder, base)
    (weights,) = (base / "text_encoder").glob("*.safetensors")
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(CheckpointError, match="text_encoder: weights must be in safetensors"):
        write_merged(tmp_path / "merged", base, {}, "nothing")
    assert not (tmp_path / "merged").exists()
