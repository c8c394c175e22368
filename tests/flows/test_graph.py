from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from flows.git import git
from flows.graph import match_targets, open_repository, plan_stages, read_graph
from oft import additions
from oft.errors import UserError
from oft.storage import dump_yaml
from tests.conftest import ROOT

from .conftest import MakeRepository

DIAMOND = {"end": ("left", "right"), "left": ("start",), "right": ("start",), "start": (), "alone": ()}
MATRIX = {"train@a": (), "train@b": (), "trainer": (), "report": ("train@a", "train@b")}


def test_producers_come_before_consumers() -> None:
    order = plan_stages(DIAMOND)
    assert sorted(order) == sorted(DIAMOND)
    assert all(order.index(p) < order.index(stage) for stage, needs in DIAMOND.items() for p in needs)


def test_independent_stages_keep_the_declared_order() -> None:
    names = ("b", "c", "a")
    assert plan_stages(dict.fromkeys(names, ())) == list(names)


def test_targets_include_their_dependencies_and_nothing_else() -> None:
    assert plan_stages(DIAMOND, ["right"]) == ["start", "right"]


def test_a_matrix_name_stands_for_all_its_stages() -> None:
    assert match_targets(MATRIX, ["train"]) == ["train@a", "train@b"]
    assert match_targets(MATRIX, ["train@b"]) == ["train@b"]


def test_an_unknown_target_is_refused_with_its_neighbours() -> None:
    with pytest.raises(UserError, match=r"no stage 'reprot'; near it: report"):
        plan_stages(MATRIX, ["train", "reprot"])


def test_dvc_yaml_is_read_with_matrices_and_frozen_stages(make_repository: MakeRepository) -> None:
    root = make_repository(
        """
stages:
  join:
    cmd: cat out-1 out-2 > joined
    deps: [out-1, out-2]
    outs: [joined]
  split:
    matrix:
      part: [1, 2]
    cmd: echo ${item.part} > out-${item.part}
    deps:
      - weights
    outs:
      - out-${item.part}
  pretrain:
    frozen: true
    cmd: cat raw > weights
    deps: [raw]
    outs: [weights]
  download:
    cmd: echo raw > raw
    outs: [raw]
"""
    )
    graph = read_graph(root)
    assert graph == {
        "join": ("split@1", "split@2"),
        "split@1": ("pretrain",),
        "split@2": ("pretrain",),
        "pretrain": (),
        "download": (),
    }
    assert plan_stages(graph, ["join"]) == ["pretrain", "split@1", "split@2", "join"]


def test_a_broken_dvc_yaml_is_a_user_error(make_repository: MakeRepository) -> None:
    root = make_repository("stages:\n  first:\n    comand: echo\n")
    with pytest.raises(UserError, match=r"cannot read the pipeline.*dvc\.yaml"):
        read_graph(root)


def test_a_folder_outside_dvc_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the pipeline"):
        read_graph(tmp_path)


@pytest.mark.parametrize(
    "addition",
    [
        additions.subject("/rex", "rex", "dog"),
        additions.style("/rex", "rex", "woodcut", "own"),
        additions.control("/rex", "rex", "canny", "blip"),
    ],
    ids=lambda addition: addition.task,
)
def test_a_task_alone_has_all_that_its_stages_read(
    values: dict[str, Any], addition: additions.Addition, make_repository: MakeRepository
) -> None:
    """What a stage reads another makes or git has: the report reads conditions, and a subject has none."""
    params = dump_yaml(additions.add(values, addition))
    root = make_repository((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    (root / "params.yaml").write_text(params, encoding="utf-8")
    with open_repository(root) as repo:
        stages = repo.index.stages
        made = {os.path.relpath(out.fs_path, root) for stage in stages for out in stage.outs}
        read = {os.path.relpath(dep.fs_path, root) for stage in stages for dep in stage.deps}
    kept = git("ls-files", root=ROOT).splitlines()
    known = {str(each) for path in (*made, *kept) for each in (Path(path), *Path(path).parents[:-1])}
    missing = {path for path in read - known if made.isdisjoint(map(str, Path(path).parents))}
    assert missing == set()
