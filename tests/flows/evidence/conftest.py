"""A repository whose stages are stood for by a function that scores each adapter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from flows.evidence import run as running
from flows.git import git
from flows.trials.trial import Revision, read_revision
from oft.profiles import compose_profile
from oft.storage import dump_yaml, load_yaml
from tests.conftest import ROOT


@pytest.fixture
def revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Revision:
    """The first commit of a repository with the settings of the profile `compare`, as the current folder."""
    from dvc.repo import Repo

    values = compose_profile(ROOT / "conf", "compare")
    (tmp_path / "params.yaml").write_text(dump_yaml(values), encoding="utf-8")
    (tmp_path / ".gitignore").write_text("/runs\n/.clones\n/.trials\n/.telemetry\n", encoding="utf-8")
    git("init", "--quiet", "--initial-branch=main", root=tmp_path)
    with Repo.init(str(tmp_path)) as repo, repo.config.edit("repo") as config:
        config["core"].update(analytics=False, check_update=False)
    git("add", "--all", root=tmp_path)
    git("commit", "--quiet", "--message", "Start", root=tmp_path)
    monkeypatch.chdir(tmp_path)
    return read_revision(tmp_path, git("rev-parse", "HEAD", root=tmp_path).strip())


class Stages:
    """Stands for the walk over DVC's graph.

    Attributes:
        made: what ran so far: stage, seed, steps.
        fails_after: how many stages run before one fails; None: none does.
    """

    def __init__(self) -> None:
        self.made: list[tuple[str, int, int]] = []
        self.fails_after: int | None = None

    def __call__(self, clone: Path, targets: Sequence[str], jobs: int | None) -> None:
        values = load_yaml((clone / "params.yaml").read_text(encoding="utf-8"))
        for target in targets:
            if self.fails_after is not None and len(self.made) >= self.fails_after:
                raise KeyboardInterrupt
            stage, _, item = target.partition("@")
            task, _, adapter = item.partition("-")
            steps = values["train"]["max_train_steps"]
            write_run(clone, task, "none" if stage == "evaluate_base" else adapter, values["seed"], steps)
            self.made.append((target, values["seed"], steps))


def write_run(clone: Path, task: str, adapter: str, seed: int, steps: int) -> None:
    """Write what evaluation leaves of a run, and what training says of its time."""
    rng = np.random.default_rng([seed, steps, *map(ord, adapter)])
    rows = [{"key": f"k{place}", "index": 0, "aacc": float(rng.random())} for place in range(12)]
    pixels = [
        {"key": f"k{place}", "index": 0, "generated": {"1": rng.integers(5, 9, 3).tolist()}}
        for place in range(12)
    ]
    plots = clone / "runs" / task / adapter / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    (plots / "per_image.json").write_text(json.dumps(rows), encoding="utf-8")
    (plots / "class_pixels.json").write_text(json.dumps(pixels), encoding="utf-8")
    metrics = {"seed": seed, "miou": 0.5, "trainable_parameters": 10}
    (plots.parent / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    telemetry = clone / ".telemetry"
    telemetry.mkdir(exist_ok=True)
    timed = {"stage": f"train@{task}-{adapter}", "seconds": 2.0 * steps, "peak_memory_bytes": 1_000_000}
    (telemetry / f"train@{task}-{adapter}.json").write_text(json.dumps(timed), encoding="utf-8")


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    """What runs in place of the pipeline's stages."""
    made = Stages()
    monkeypatch.setattr(running, "reproduce", made)
    return made
