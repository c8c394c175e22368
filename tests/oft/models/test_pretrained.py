from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from oft.errors import CheckpointError
from oft.models.pretrained import MODEL_FILES, load_pretrained
from tests.oft.conditions.networks import save_segformer

COMMIT = "0123456789abcdef" * 2 + "01234567"


def load(model: Path | str) -> None:
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    load_pretrained(
        "conditions.segmentation.model",
        str(model),
        AutoImageProcessor,
        AutoModelForSemanticSegmentation,
        "cpu",
    )


def test_a_missing_model_is_named_with_what_it_may_be(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"^conditions\.segmentation\.model \(.*nowhere\): no such fold"
    ):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        CheckpointError, match=r"empty: cannot be loaded .*set conditions\.segmentation\.model"
    ):
        load(tmp_path / "empty")


@pytest.mark.parametrize("name", ["someone/net", "someone/net@main", "someone/net@v2", "someone/net@0123abc"])
def test_a_model_of_the_hub_without_its_commit_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"by its commit.*huggingface\.co/someone/net/commits/main"):
        load(name)


def test_the_hub_is_asked_for_a_commit_and_neither_pickles_nor_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def snapshot(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, tuple(allow_patterns)))
        raise OSError("no network\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(
        CheckpointError, match=rf"\(no network\).*hf download someone/net --revision {COMMIT} --local-dir"
    ):
        load(f"someone/net@{COMMIT}")
    assert asked == [("someone/net", COMMIT, MODEL_FILES)]
    assert not any(name.endswith((".bin", ".pt", ".py", "*")) for name in MODEL_FILES)


def test_a_model_without_safetensors_is_refused(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = save_segformer(tmp_path / "pickled")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="safetensors"):
        load(folder)


def test_code_in_a_models_folder_is_refused_without_a_question(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import json

    folder = save_segformer(tmp_path / "model")
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")

    def ask(*arguments: Any) -> str:
        raise AssertionError("asked on the terminal")

    monkeypatch.setattr("builtins.input", ask)
    changes = {
        "config.json": {"model_type": "own", "auto_map": {"AutoModelForSemanticSegmentation": "code.Net"}},
        "preprocessor_config.json": {
            "image_processor_type": "Own",
            "auto_map": {"AutoImageProcessor": "code.Own"},
        },
    }
    for name, change in changes.items():
        changed = Path(shutil.copytree(folder, tmp_path / name))
        config = json.loads((changed / name).read_text(encoding="utf-8"))
        (changed / name).write_text(json.dumps(config | change), encoding="utf-8")
        with pytest.raises(CheckpointError, match=f"{name}: cannot be loaded as Auto"):
            load(changed)
    assert not (tmp_path / "ran").exists()
