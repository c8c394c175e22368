"""The model card says where the networks come from, under which licence, and what they are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from miniature.model_card import CARD_NAME, write_model_card
from oft.storage import read_json
from tests.conftest import ROOT

MINIATURE = ROOT / "data" / "models" / "miniature"


def test_the_card_tells_origin_licence_figures_and_limits(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MINIATURE, tmp_path / "miniature"))
    write_model_card(folder)
    text = (folder / CARD_NAME).read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    for heading in ("Origin", "Training data", "Licence", "Limits", "Figures", "Size"):
        assert f"## {heading}\n" in body
    for name, value in read_json(MINIATURE / "quality.json").items():
        assert f"| `{name}` | {value:g} |" in body
    for name in read_json(MINIATURE / "hashes.json"):
        assert f"| `{Path(name).parent}` | " in body


def test_the_counted_parameters_are_those_of_the_network(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    (tmp_path / "base" / "unet").mkdir(parents=True)
    save_file({"a": torch.zeros(30, 50), "b": torch.zeros(7)}, tmp_path / "base" / "unet" / "w.safetensors")
    (tmp_path / "quality.json").write_text('{"psnr_db": 29.5}')
    for _ in range(2):
        write_model_card(tmp_path)
    table = "| network | parameters |\n| --- | ---: |\n| `base/unet` | 1,507 |\n"
    written = (tmp_path / CARD_NAME).read_text(encoding="utf-8")
    assert written.endswith(f"| `psnr_db` | 29.5 |\n\n## Size\n\n{table}")
