"""A run of a few adapters, as the pipeline leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from oft.params import load_params
from tests.adapters import save_moved
from tests.conftest import ROOT

TRAINED = [
    ("canny_coco", "oft", True),
    ("canny_coco", "hint", True),
    ("segm_ade20k", "oft", True),
    ("subject_robot_toy", "lora", False),
]


@pytest.fixture(scope="session")
def run_root(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository's root with a base, settings of short sampling, and adapters away from the identity."""
    root = tmp_path_factory.mktemp("demo")
    (root / "data/models").mkdir(parents=True)
    (root / "data/models/base").symlink_to(base_folder)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (root / "params.yaml").write_text(text.replace("num_inference_steps: 12", "num_inference_steps: 3"))
    params = load_params(root / "params.yaml")
    assert params.sample.num_inference_steps == 3
    for task, name, with_condition in TRAINED:
        folder = root / "runs" / task / name / "magnitude"
        save_moved(folder, base_folder, name, params.adapters[name], with_condition=with_condition)
    return root


@pytest.fixture
def run(run_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That root, as the working directory."""
    monkeypatch.chdir(run_root)
    return run_root
