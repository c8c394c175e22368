"""A person's repository with a tiny pipeline whose training learns a number from a folder of data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.git import git
from flows.retrain import promotion
from flows.retrain.settings import RetrainSettings
from oft.storage import dump_yaml

TASK = "canny_photos"

PIPELINE = """
# A comment that has to survive.
stages:
  acquire:
    foreach: [photos]
    do:
      cmd: python tiny.py acquire
      params: [datasets.photos.acquire]
      outs: [data/raw/photos]
  train:
    matrix: {task: ["canny_photos"], adapter: [oft]}
    cmd: python tiny.py train
    deps: [data/raw/photos]
    outs: [runs/canny_photos/oft/magnitude]
  evaluate:
    matrix: {task: ["canny_photos"], adapter: [oft]}
    cmd: python tiny.py evaluate oft
    deps: [data/raw/photos, runs/canny_photos/oft/magnitude]
    outs: [runs/canny_photos/oft/plots]
  evaluate_base:
    matrix: {task: ["canny_photos"]}
    cmd: python tiny.py evaluate none
    deps: [data/raw/photos]
    outs: [runs/canny_photos/none/plots]
"""

# What is learned stands in the data: how good, and a seed for luck. Scores are of the pictures in val.txt.
SCRIPT = """
import json, random, shutil, sys
from pathlib import Path
import yaml

data, run = Path("data/raw/photos"), Path("runs/canny_photos")

def acquire():
    source = yaml.safe_load(Path("params.yaml").read_text())["datasets"]["photos"]["acquire"]["source"]
    shutil.copytree(source, data)

def train():
    folder = run / "oft" / "magnitude"
    folder.mkdir(parents=True)
    (folder / "model.txt").write_text((data / "learn.txt").read_text())

def evaluate(adapter):
    model = "0.0 0" if adapter == "none" else (run / adapter / "magnitude" / "model.txt").read_text()
    quality, seed = model.split()
    rows = []
    for key in (data / "val.txt").read_text().split():
        hard, luck = random.Random(key), random.Random(f"{key} {seed}")
        score = 0.3 + 0.2 * hard.random() + float(quality) + luck.gauss(0, 0.02)
        rows.append({"key": key, "index": 0, "canny_f1": score, "prompt_similarity": 0.25})
    folder = run / adapter / "plots"
    folder.mkdir(parents=True)
    (folder / "per_image.json").write_text(json.dumps(rows))

globals()[sys.argv[1]](*sys.argv[2:])
"""


class Person:
    """A person's repository, and the folder that their data lie in."""

    def __init__(self, root: Path, data: Path) -> None:
        self.root, self.data = root, data

    def learn(self, quality: float, seed: int) -> None:
        """Put data there that teach a model of this quality, with this luck."""
        (self.data / "learn.txt").write_text(f"{quality} {seed}\n", encoding="utf-8")

    def validate_on(self, prefix: str, count: int = 40) -> None:
        """Put other pictures for validation there."""
        names = " ".join(f"{prefix}{number}" for number in range(count))
        (self.data / "val.txt").write_text(names, encoding="utf-8")

    def settings(self, **inboxes: str) -> RetrainSettings:
        """The settings that the command line makes by default."""
        return RetrainSettings(str(self.root), self.root / ".retrain", inboxes=inboxes)

    def tags(self) -> list[str]:
        return git("tag", "--list", root=self.root).split()

    def state(self) -> tuple[str, str, str]:
        """What retraining must leave alone: where the person stands, their changes, their branch."""
        return (
            git("status", "--porcelain", "--branch", root=self.root),
            git("rev-parse", "HEAD", root=self.root),
            git("symbolic-ref", "HEAD", root=self.root),
        )


def tiny_params(values: dict[str, Any], source: str) -> dict[str, Any]:
    """Settings of the tiny pipeline: one task on a folder of one's own."""
    values["datasets"]["photos"]["acquire"]["source"] = source
    return values | {
        "control_tasks": [TASK],
        "subject_tasks": [],
        "base_tasks": [TASK],
        "transfers": {},
        "gate": values["gate"] | {"num_resamples": 999},
    }


@pytest.fixture
def person(tmp_path: Path, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Person:
    """A committed repository with the tiny pipeline, its data, and an export that needs no network."""
    from dvc.repo import Repo

    root, data = tmp_path / "person", tmp_path / "person" / "mine"
    data.mkdir(parents=True)
    git("init", "--quiet", "--initial-branch=main", root=root)
    with Repo.init(str(root)) as repo, repo.config.edit("repo") as config:
        config["core"].update(analytics=False, check_update=False)
    (root / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (root / "tiny.py").write_text(SCRIPT, encoding="utf-8")
    (root / "params.yaml").write_text(dump_yaml(tiny_params(values, "mine")), encoding="utf-8")
    (root / ".gitignore").write_text("/data\n/runs\n/mine\n/.retrain\n", encoding="utf-8")
    (root / ".dvcignore").write_text("/.retrain\n", encoding="utf-8")
    git("add", "--all", root=root)
    git("commit", "--quiet", "--message", "Start", root=root)
    made = Person(root, data)
    made.learn(0.1, seed=1)
    made.validate_on("a")
    monkeypatch.setattr(promotion, "export_model", export_tiny)
    return made


def export_tiny(root: Path, task: str, adapter: str, target: Path, log: Callable[[str], None]) -> None:
    """Stands for the export of a real adapter, which needs a base."""
    shutil.copytree(root / "runs" / task / adapter / "magnitude", target / "adapter")
    (target / "delta.safetensors").write_text("delta", encoding="utf-8")
