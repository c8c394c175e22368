"""A repository whose pipeline scores an adapter by its settings and seed; its stages have the real names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.git import git
from flows.trials import reproduce as reproducing
from oft.storage import dump_yaml, load_yaml

PIPELINE = """
vars: [params.yaml]
stages:
  train:
    matrix: {task: "${control_tasks}", adapter: "${control_adapters}"}
    cmd: python tiny.py train ${item.task} ${item.adapter}
    params: [seed, train]
    outs: ["runs/${item.task}/${item.adapter}/train"]
  evaluate:
    matrix: {task: "${control_tasks}", adapter: "${control_adapters}"}
    cmd: python tiny.py evaluate ${item.task} ${item.adapter}
    params: [seed]
    deps: ["runs/${item.task}/${item.adapter}/train"]
    outs: ["runs/${item.task}/${item.adapter}/plots"]
    metrics: ["runs/${item.task}/${item.adapter}/metrics.json"]
  evaluate_base:
    matrix: {task: "${base_tasks}"}
    cmd: python tiny.py evaluate ${item.task} none
    params: [seed]
    outs: ["runs/${item.task}/none/plots"]
    metrics: ["runs/${item.task}/none/metrics.json"]
"""

# The base scores a picture by how hard it is; the hint encoder adds .1, others a hundred times their rate.
SCRIPT = """
import json, random, sys
from pathlib import Path
import yaml

params = yaml.safe_load(Path("params.yaml").read_text())
what, task, adapter = sys.argv[1:]
run, seed = Path("runs") / task / adapter, params["seed"]

def train():
    gain = 0.1 if adapter == "hint" else 100 * params["train"]["learning_rate"]
    (run / "train").mkdir(parents=True)
    (run / "train" / "model.txt").write_text(str(gain))
    print(f"trained {adapter} on {task} with seed {seed}")

def evaluate():
    gain = 0.0 if adapter == "none" else float((run / "train" / "model.txt").read_text())
    rows = []
    for number in range(24):
        key = f"k{number:02}"
        hard = random.Random(f"{seed} {key}").uniform(0.2, 0.3)
        beside = {"canny_f1_reconstruction": 0.9, "canny_f1_real": 1.0}
        rows.append({"key": key, "index": 0, "canny_f1": hard + gain, **beside})
    plots = run / "plots"
    plots.mkdir(parents=True)
    for name, value in {"per_image": rows, "class_pixels": []}.items():
        (plots / f"{name}.json").write_text(json.dumps(value))
    (run / "metrics.json").write_text(json.dumps({"seed": seed, "canny_f1": 0.5}))

globals()[what]()
"""

TASK = "canny_coco"


@pytest.fixture
def repository(tmp_path: Path, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository, committed, as the current folder."""
    from dvc.repo import Repo

    git("init", "--quiet", "--initial-branch=main", root=tmp_path)
    with Repo.init(str(tmp_path)) as repo, repo.config.edit("repo") as config:
        config["core"].update(analytics=False, check_update=False)
    values |= {"control_tasks": [TASK], "subject_tasks": [], "base_tasks": [TASK], "transfers": {}}
    (tmp_path / "params.yaml").write_text(dump_yaml(values), encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (tmp_path / "tiny.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / ".gitignore").write_text("/runs\n/.clones\n/.trials\n", encoding="utf-8")
    (tmp_path / ".dvcignore").write_text("/.clones\n/.trials\n", encoding="utf-8")
    git("add", "--all", root=tmp_path)
    git("commit", "--quiet", "--message", "Start", root=tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TinyPipeline:
    """Stands for the walk over DVC's graph: runs the stages asked for, each time anew.

    Attributes:
        trained: the adapter and the seed of each training so far.
    """

    def __init__(self) -> None:
        self.trained: list[tuple[str, int]] = []

    def __call__(self, clone: Path, targets: Sequence[str], jobs: int | None) -> None:
        seed = load_yaml((clone / "params.yaml").read_text(encoding="utf-8"))["seed"]
        for target in targets:
            stage, _, item = target.partition("@")
            task, _, adapter = item.partition("-")
            adapter = "none" if stage == "evaluate_base" else adapter
            shutil.rmtree(clone / "runs" / task / adapter, ignore_errors=True)
            steps = ["evaluate"] if adapter == "none" else ["train", "evaluate"]
            for step in steps:
                command = [sys.executable, "tiny.py", step, task, adapter]
                subprocess.run(command, cwd=clone, check=True, capture_output=True)
            if adapter != "none":
                self.trained.append((adapter, seed))


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> TinyPipeline:
    """The commands run the tiny pipeline's stages without DVC, which takes seconds for each."""
    made = TinyPipeline()
    monkeypatch.setattr(reproducing, "reproduce", made)
    return made
