"""What a promotion hands on: a real adapter exported, a card that says what it is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from flows.git import git
from flows.reproduce.workspace import LOCKFILE
from flows.retrain.card import render_model_card
from flows.retrain.decision import Decision
from flows.retrain.gate import ScoreComparison
from flows.retrain.judging import write_lockfile
from flows.retrain.promotion import export_model, reject
from flows.retrain.run import scan_sources
from flows.retrain.workspace import retrain_lock
from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.module import inject_oft
from oft.adapters.oft.saving import save_adapter
from oft.adapters.targets import UNET_CONTROL_TARGETS
from oft.models.base import load_base
from oft.params import Params
from oft.storage import load_yaml, write_json
from tests.conftest import ROOT

from .conftest import Person

TASK = "segm_ade20k"
ROW = ScoreComparison(TASK, "aacc", 0.5, 0.6, 0.1, 0.05, 0.15, 96, 96, 0, "gain")
DECISION = Decision(
    number=7,
    kind="promoted",
    of=7,
    reason="gains: aacc of segm_ade20k",
    against="promoted/5",
    revision="0123456789abcdef",
    level=0.99,
    comparisons=(ROW, ROW._replace(task="canny_coco")),
)


def test_a_real_adapter_is_exported_by_the_clone_s_own_code(tmp_path: Path, base_folder: Path) -> None:
    for code in ("oft", "stages"):
        (tmp_path / code).symlink_to(ROOT / code)
    shutil.copytree(base_folder, tmp_path / "data" / "models" / "base")
    base = load_base(base_folder, torch.device("cpu"))
    adapter = inject_oft(base.unet, OFTConfig(UNET_CONTROL_TARGETS, num_blocks=4))
    with torch.no_grad():
        for _, packed in adapter.named_packed():
            packed.fill_(0.01)
    save_adapter(tmp_path / "runs" / TASK / "oft" / "magnitude", adapter, base_hash=base.hash)
    (tmp_path / "runs" / TASK / "oft" / "magnitude" / "dvclive").mkdir()
    target = tmp_path / "promoted" / "weights"
    export_model(tmp_path, TASK, "oft", target, print)
    assert (target / "delta.safetensors").stat().st_size > 1000
    assert {path.name for path in (target / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    fresh = load_base(base_folder, torch.device("cpu"))
    loaded = OrthogonalAdapter.load(target / "adapter", fresh.unet, base_hash=fresh.hash)
    assert all(
        torch.equal(packed, torch.full_like(packed, 0.01)) for _, packed in loaded.rotations.named_packed()
    )


def test_decisions_are_not_signed(person: Person) -> None:
    settings = person.settings()
    with retrain_lock(settings.folder, print):
        found = scan_sources(settings, print)
        for name in ("tag.gpgSign", "commit.gpgSign", "push.gpgSign"):
            git("config", name, "true", root=settings.clone)
        git("config", "gpg.program", "false", root=settings.clone)
        write_lockfile(settings.clone / LOCKFILE, {})
        reject(settings, replace(DECISION, kind="rejected", revision=found.commit))
    assert person.tags() == ["rejected/7"]


def test_a_card_says_base_data_licences_settings_and_metrics(tmp_path: Path, params: Params) -> None:
    run = tmp_path / "runs" / TASK
    write_json(
        run / "oft" / "metrics.json", {"aacc": 0.6, "aacc_real": 0.9, "aacc_reconstruction": 0.8, "seed": 0}
    )
    write_json(run / "none" / "metrics.json", {"aacc": 0.2})
    licences = {"CC0-1.0": 90, "MIT": 6}
    write_json(
        tmp_path / "data" / "shards" / TASK / "card.json", {"splits": {"train": {"licences": licences}}}
    )
    card = render_model_card(tmp_path, params, TASK, DECISION)
    _, front, text = card.split("---\n", 2)
    described = load_yaml(front)
    assert described["base_model"] == "miniature" and described["library_name"] == "peft"
    assert described["license_name"] == "CC0-1.0, MIT"
    assert "| Pixel accuracy (miniature segmenter) | 0.6 | 0.2 | 0.8 | 0.9 |" in text
    assert "Miniature world, in ADE20K's layout: data set `ade20k` in the settings, read as `ade20k`" in text
    assert "| segm_ade20k | aacc | 0.5000 | 0.6000 | +0.1000 | +0.0500 to +0.1500 | 96 | gain |" in text
    assert "99.00% interval" in text and "canny_coco" not in text
    assert "promoted/7" in text and "num_blocks: 1" in text and "max_train_steps: 550" in text
    assert str(tmp_path) not in card


def test_a_card_names_unknown_values(tmp_path: Path, params: Params) -> None:
    card = render_model_card(tmp_path, params, "subject_robot_toy", DECISION)
    assert "Licences of its pictures: unspecified" in card
    assert "the subject robot_toy as `sks`" in card
    assert "None with a reference." in card
