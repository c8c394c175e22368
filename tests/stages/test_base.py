"""A checkpoint file through the stages: placed, adapted, trained, drawn with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from oft.data.samples import read_samples
from stages import base, fit_magnitude, init, sample, train
from tests.oft.models.ldm_layout import checkpoint, read_configs, write_tiny_configs

ITEM = ["--task", "segm_ade20k", "--adapter", "oft"]


@pytest.fixture
def folder(
    values: dict[str, Any], shards_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working folder with a checkpoint file, shards of one task, and settings for two steps of training."""
    configs = write_tiny_configs(tmp_path / "configs")
    state = checkpoint(read_configs(configs), torch.Generator().manual_seed(0))
    save_file(state, tmp_path / "tiny.safetensors")
    shutil.copytree(shards_folder, tmp_path / "data" / "shards" / "segm_ade20k")
    values["base"] |= {"source": "tiny.safetensors", "config": "configs"}
    steps = {"max_train_steps": 2, "batch_size": 2, "warmup_steps": 0, "mixed_precision": "fp32"}
    values["train"] |= {**steps, "num_validation_images": 0}
    values["fit_magnitude"] |= steps
    values["sample"] |= {"num_inference_steps": 2, "batch_size": 4}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_of_latent_diffusion_is_trained_and_drawn_with(folder: Path) -> None:
    base.main([])
    for stage in (init, train, fit_magnitude):
        stage.main(ITEM)
    sample.main([*ITEM, "--shard", "0"])
    run = folder / "runs" / "segm_ade20k" / "oft"
    assert json.loads((run / "train" / "summary.json").read_text("utf-8"))["step"] == 2
    drawn = list(read_samples(run / "samples", 1))
    assert len(drawn) == 4 and all(picture.shape == (64, 64, 3) for _, picture in drawn)
