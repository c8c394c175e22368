from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from oft.errors import CheckpointError
from oft.models.pretrained import load_pretrained
from tests.oft.conditions.networks import save_segformer


def load(model: Path | str) -> None:
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    load_pretrained(
        "conditions.segmentation.model",
        str(model),
        AutoImageProcessor,
        AutoModelForSemanticSegmentation,
        "cpu",
    )


def test_a_missing_model_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^conditions\.segmentation\.model: cannot load .*nowhere"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="hf download MODEL"):
        load(tmp_path / "empty")


def test_a_model_on_the_hub_is_named_in_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoImageProcessor

    asked = []

    def unreachable(name: str, revision: str) -> None:
        asked.append((name, revision))
        raise OSError("no network")

    monkeypatch.setattr(AutoImageProcessor, "from_pretrained", unreachable)
    with pytest.raises(
        CheckpointError, match=r"no network.*hf download someone/net --revision v2 --local-dir"
    ):
        load("someone/net@v2")
    with pytest.raises(CheckpointError, match="hf download someone/net --local-dir"):
        load("someone/net")
    assert asked == [("someone/net", "v2"), ("someone/net", "main")]


def test_a_model_without_safetensors_or_with_too_few_is_refused(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = save_segformer(tmp_path / "whole")
    weights = load_file(folder / "model.safetensors")
    pickled = Path(shutil.copytree(folder, tmp_path / "pickled"))
    (pickled / "model.safetensors").unlink()
    torch.save(weights, pickled / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="safetensors"):
        load(pickled)
    del weights["decode_head.classifier.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 tensors, decode_head\.classifier\.weight"):
        load(folder)
