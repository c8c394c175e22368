"""The graph of each profile for real data: DVC resolves it, and it holds that profile's stages alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.graph import plan_stages, read_graph
from oft.params import load_params
from oft.profiles import list_profiles, write_profile
from tests.conftest import ROOT

from .conftest import MakeRepository

REAL = [name for name in list_profiles(ROOT / "conf") if name.startswith(("sd15-", "sdxl-"))]


@pytest.mark.parametrize("name", REAL)
def test_a_profile_has_the_stages_of_its_tasks_and_no_others(
    name: str, make_repository: MakeRepository, tmp_path: Path
) -> None:
    root = make_repository()
    shutil.copy(ROOT / "dvc.yaml", root)
    write_profile(ROOT / "conf", name, root / "params.yaml")
    params = load_params(root / "params.yaml")
    graph = read_graph(root)
    for stage, tasks, adapters in (
        ("train", params.control_tasks, params.control_adapters),
        ("train_subject", params.subject_tasks, params.subject_adapters),
        ("train_style", params.style_tasks, params.style_adapters),
    ):
        expected = {f"{stage}@{task}-{adapter}" for task in tasks for adapter in adapters}
        assert {found for found in graph if found.startswith(f"{stage}@")} == expected
    stands_on = plan_stages(graph, ["report"])
    assert {found for found in stands_on if found.startswith("acquire@")} == {
        f"acquire@{dataset}" for dataset in params.datasets
    }
