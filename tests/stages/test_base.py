"""A checkpoint file through the stages: placed, its pictures encoded, adapted, trained, drawn with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save_file

from oft.errors import DataError, ParamsError
from oft.shards.samples import read_samples
from oft.storage import dump_yaml, load_yaml, write_json
from oft.types import SPLITS, Counts
from stages import base, draw, encode, fit_magnitude, init, prior, sample, shard_subject, train
from stages.launch import paths
from tests.layouts import save_picture
from tests.oft.models.ldm_layout import (
    checkpoint,
    read_configs,
    write_tiny_configs,
    write_tiny_xl_configs,
)

TASK = "segm_ade20k"
ITEM = ["--task", TASK, "--adapter", "oft"]
RUN = Path("runs") / TASK / "oft"
SHARDS = Path("data") / "shards" / TASK


@pytest.fixture
def folder(
    values: dict[str, Any], shards_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working folder with a checkpoint file, shards of one task, and settings for two steps of training."""
    configs = write_tiny_configs(tmp_path / "configs")
    state = checkpoint(read_configs(configs), torch.Generator().manual_seed(0))
    save_file(state, tmp_path / "tiny.safetensors")
    shutil.copytree(shards_folder, tmp_path / SHARDS)
    values["base"] |= {"source": "tiny.safetensors", "config": "configs"}
    steps = {"max_train_steps": 2, "batch_size": 2, "warmup_steps": 0, "mixed_precision": "fp32"}
    values["train"] |= {**steps, "num_validation_images": 0}
    values["fit_magnitude"] |= steps
    values["sample"] |= {"num_inference_steps": 2, "batch_size": 4}
    (tmp_path / "params.yaml").write_text(dump_yaml(values), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_tiny_xl(folder: Path, name: str) -> dict[str, Any]:
    """Write one file of a tiny XL, and its configurations; return the settings of ``base`` that name them."""
    configs = write_tiny_xl_configs(folder / "xl_configs")
    save_file(checkpoint(read_configs(configs), torch.Generator().manual_seed(0)), folder / name)
    return {"source": name, "config": "xl_configs"}


@pytest.fixture
def set_params(folder: Path) -> Callable[[str, dict[str, Any]], None]:
    """A function that changes settings of a section of params.yaml."""

    def change(section: str, settings: dict[str, Any]) -> None:
        path = folder / "params.yaml"
        values = load_yaml(path.read_text(encoding="utf-8"))
        values[section] |= settings
        path.write_text(dump_yaml(values), encoding="utf-8")

    return change


def run_training() -> dict[str, bytes]:
    """Encode, train and fit; return the files of the two adapters."""
    encode.main(["--task", TASK])
    for stage in (init, train, fit_magnitude):
        stage.main(ITEM)
    return {
        path.as_posix(): path.read_bytes()
        for name in ("train", "magnitude")
        for path in sorted((RUN / name).glob("*.safetensors"))
    }


def test_a_file_of_latent_diffusion_is_trained_and_drawn_with(folder: Path) -> None:
    base.main([])
    assert len(run_training()) >= 2
    made_with = load_yaml((RUN / "train" / "settings.yaml").read_text("utf-8"))
    assert made_with["train"]["max_train_steps"] == 2 and made_with["adapter"]["oft"]["num_blocks"]
    assert str(folder) not in str(made_with)
    fitted_with = load_yaml((RUN / "magnitude" / "settings.yaml").read_text("utf-8"))
    assert fitted_with["base"] == made_with["base"] and "log_to" not in fitted_with["fit_magnitude"]
    sample.main([*ITEM, "--shard", "0"])
    assert json.loads((RUN / "train" / "summary.json").read_text("utf-8"))["step"] == 2
    drawn = list(read_samples(RUN / "samples", 1))
    assert len(drawn) == 4 and all(picture.shape == (64, 64, 3) for _, picture in drawn)


def test_prompts_of_ones_own_are_drawn_in_their_order_each_from_its_own_seed(
    folder: Path, set_params: Callable[[str, dict[str, Any]], None]
) -> None:
    base.main([])
    run_training()
    prompts = ["a dog", "a cat"]
    drawing = {"task": TASK, "adapter": "oft", "prompts": prompts, "num_samples": 2}
    set_params("drawings", {"own": drawing})
    draw.main(["--drawing", "own"])
    drawn = list(read_samples(RUN / "drawings" / "own", 1))
    assert [request.prompt for request, _ in drawn] == ["a dog", "a dog", "a cat", "a cat"]
    assert len({picture.tobytes() for _, picture in drawn}) == 4
    set_params("drawings", {"own": {**drawing, "prompts": prompts[:1]}})
    draw.main(["--drawing", "own"])
    alone = list(read_samples(RUN / "drawings" / "own", 1))
    assert [picture.tobytes() for _, picture in alone] == [picture.tobytes() for _, picture in drawn[:2]]
    with pytest.raises(ParamsError, match=r"--drawing other: params\.yaml has no such drawing; it has own"):
        draw.main(["--drawing", "other"])


def test_a_file_of_xl_is_trained_and_drawn_with(
    folder: Path, set_params: Callable[[str, dict[str, Any]], None]
) -> None:
    set_params("base", write_tiny_xl(folder, "tiny_xl.safetensors"))
    set_params("train", {"num_validation_images": 2})
    base.main([])
    assert "text_encoder_2" in json.loads(Path("data/models/base/base.json").read_text("utf-8"))["parts"]
    trained = run_training()
    sample.main([*ITEM, "--shard", "0"])
    drawn = list(read_samples(RUN / "samples", 1))
    assert len(drawn) == 4 and all(picture.std() > 5 for _, picture in drawn)

    # Captions encoded before teach the same, but for rounding.
    set_params("encode", {"text": True})
    again = run_training()
    assert again.keys() == trained.keys()
    for name in again:
        one, other = load(trained[name]), load(again[name])
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=1e-3, atol=1e-5)


def test_a_subject_of_xl_is_learned_beside_its_class(
    folder: Path, set_params: Callable[[str, dict[str, Any]], None]
) -> None:
    """With class pictures that the base itself draws."""
    set_params("base", write_tiny_xl(folder, "tiny_xl.ckpt"))
    brief = {"max_train_steps": 2, "batch_size": 2, "warmup_steps": 0, "num_validation_images": 1}
    set_params("train_subject", {**brief, "mixed_precision": "fp32"})
    set_params("subjects", {"subject_cup": {"dataset": "photos", "class": "cup"}})
    set_params("prior", {"num_class_images": 2})
    for number in range(2):
        save_picture(paths.raw("photos") / f"{number}.jpg", number, height_px=64, width_px=80)
    write_json(paths.counts(paths.raw("photos")), {split: Counts().to_json() for split in SPLITS})
    base.main([])
    subject = ["--task", "subject_cup"]
    for stage in (shard_subject, prior, encode):
        stage.main(subject)
    for stage in (init, train, fit_magnitude):
        stage.main([*subject, "--adapter", "oft"])
    summary = json.loads(Path("runs/subject_cup/oft/train/summary.json").read_text("utf-8"))
    assert summary["step"] == 2 and summary["num_images"] == 2
    sample.main([*subject, "--adapter", "oft"])
    assert list(read_samples(Path("runs/subject_cup/oft/samples"), 1))


def test_a_style_of_xl_is_learned(folder: Path, set_params: Callable[[str, dict[str, Any]], None]) -> None:
    set_params("base", write_tiny_xl(folder, "tiny_xl.safetensors"))
    set_params("encode", {"text": True})
    style, run = ["--task", "style_ink"], Path("runs") / "style_ink" / "oft"
    shutil.copytree(SHARDS, SHARDS.parent / "style_ink")
    base.main([])
    encode.main(style)
    for stage in (init, train, fit_magnitude):
        stage.main([*style, "--adapter", "oft"])
    before, after = (
        load((run / name / "adapter_model.safetensors").read_bytes()) for name in ("init", "train")
    )
    assert before.keys() == after.keys() and any(not torch.equal(before[key], after[key]) for key in before)
    assert not (run / "train" / "hint_encoder.safetensors").exists()


def test_neither_what_is_encoded_before_nor_where_shards_lie_changes_an_adapter(
    folder: Path,
    set_params: Callable[[str, dict[str, Any]], None],
    s3: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_params("train", {"num_validation_images": 2})
    base.main([])
    trained = run_training()

    set_params("encode", {"latents": False})
    assert run_training() == trained

    for path in SHARDS.iterdir():
        s3.upload_file(str(path), "bucket", f"mine/{TASK}/{path.name}")
    shutil.rmtree(SHARDS)
    monkeypatch.setenv("OFT_SHARDS", "s3://bucket/mine/")
    assert run_training() == trained

    # Other shards than those that were encoded are noticed.
    index = json.loads(s3.get_object(Bucket="bucket", Key=f"mine/{TASK}/index.json")["Body"].read())
    s3.put_object(Bucket="bucket", Key=f"mine/{TASK}/index.json", Body=json.dumps(index | {"other": 1}))
    with pytest.raises(DataError, match="belongs to other shards"):
        train.main(ITEM)
