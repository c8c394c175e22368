"""What a trial measures, and that its folder is another one for whatever could change its scores."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.git import git
from flows.graph import read_graph
from flows.trials.trial import Revision, Trial, make_trial, read_revision
from oft.errors import ParamsError, UserError
from oft.storage import dump_yaml
from tests.conftest import ROOT
from tests.flows.conftest import MakeRepository

ADAPTERS = ("none", "hint", "oft")


def trial(values: dict[str, Any], *, code: str = "code", seed: int = 0, **options: Any) -> Trial:
    chosen: dict[str, Any] = {"changes": {}, "tasks": [], "adapters": ADAPTERS, "folder": Path("trials")}
    return make_trial(Revision("commit", values, code), seed=seed, **chosen | options)


def test_by_default_it_measures_what_the_settings_train_and_transfer(values: dict[str, Any]) -> None:
    parts = {(part.task, part.adapter) for part in trial(values).parts}
    control = ("segm_ade20k", "canny_coco", "densepose_deepfashion", "canny_photos")
    expected = {(task, adapter) for task in control for adapter in ADAPTERS}
    subject = {("subject_robot_toy", adapter) for adapter in ("none", "oft")}
    assert parts == expected | subject, "no hint encoder learns a subject"


def test_a_style_is_measured_as_its_own_kind(values: dict[str, Any]) -> None:
    found = trial(values, tasks=["style_ink"], adapters=["none", "oft", "hint"])
    assert [part.stage for part in found.parts] == ["evaluate_base@style_ink", "evaluate_style@style_ink-oft"]
    assert found.values["style_tasks"] == ["style_ink"] and "style_ink" in found.values["base_tasks"]


def test_dvc_has_a_stage_for_every_part(values: dict[str, Any], make_repository: MakeRepository) -> None:
    root, made = make_repository(), trial(values | {"style_tasks": ["style_ink"]})
    shutil.copy(ROOT / "dvc.yaml", root)
    (root / "params.yaml").write_text(dump_yaml(dict(made.values)), encoding="utf-8")
    assert {part.stage for part in made.parts} <= set(read_graph(root))


def test_a_task_that_no_setting_trains_yet_is_trained(values: dict[str, Any]) -> None:
    values |= {"control_tasks": ["segm_ade20k"], "base_tasks": ["segm_ade20k"], "transfers": {}}
    made = trial(values, tasks=["canny_coco"])
    assert made.values["control_tasks"] == ["segm_ade20k", "canny_coco"]
    assert made.values["base_tasks"] == ["segm_ade20k", "canny_coco"]
    assert made.values["control_adapters"] == ["oft", "hint"]


def test_settings_of_other_adapters_do_not_decide_a_parts_scores(values: dict[str, Any]) -> None:
    """Another radius of COFT leaves what is known of OFT as it is."""
    adapters = values["adapters"]
    first = trial(values, adapters=["oft", "coft"])
    wider = {**adapters, "coft": {**adapters["coft"], "eps": 1.0}}
    second = trial(values | {"adapters": wider}, adapters=["oft", "coft"])

    changed = {part.adapter for part in first.parts if first.digest_of(part) != second.digest_of(part)}

    assert changed == {"coft"}
    assert first.folder != second.folder
    longer = trial(values | {"train": {**values["train"], "max_train_steps": 700}}, adapters=["oft", "coft"])
    assert all(first.digest_of(part) != longer.digest_of(part) for part in first.parts)


def test_the_folder_is_named_by_all_that_could_change_a_score(values: dict[str, Any]) -> None:
    first = trial(values)
    others = [
        trial(values, seed=1),
        trial(values, code="edited"),
        trial(values, changes={"train.learning_rate": 0.5}),
        trial(values, changes={"adapters.oft.num_blocks": 2}),
    ]
    assert len({first.folder, *(other.folder for other in others)}) == 5
    assert first.folder.name.startswith("seed-0-")
    fewer = trial(values, tasks=["canny_coco"], adapters=["oft"])
    shown = trial(values | {"report": {"num_rows": 9}})
    assert fewer.folder == shown.folder == first.folder


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tasks": ["segm"]}, UserError, "--tasks 'segm' must be one of segm_ade20k"),
        ({"adapters": ["novel"]}, UserError, "--adapters 'novel' must be none .* or one of hint, oft"),
        ({"changes": {"train.learnin_rate": 1}}, ParamsError, "did you mean 'learning_rate'"),
        ({"changes": {"seed": 1}}, UserError, "give the seeds with --seeds"),
        ({"tasks": ["subject_robot_toy"], "adapters": ["hint"]}, UserError, "no adapter of hint can be"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    values: dict[str, Any], options: dict[str, Any], error: type[UserError], message: str
) -> None:
    with pytest.raises(error, match=message):
        trial(values, **options)


def test_only_code_that_makes_scores_tells_commits_apart(tmp_path: Path) -> None:
    """The report's code, descriptions and folders for outputs may change; what a stage before the report
    depends on, and the networks that ship, may not."""
    train = {"cmd": "python -m stages.train", "desc": "Train.", "deps": ["oft/training", "data/${item}"]}
    report = {"cmd": "python -m stages.report", "deps": ["oft/report"]}

    def code(**files: str) -> str:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (tmp_path / "params.yaml").write_text("seed: 0\n", encoding="utf-8")
        (tmp_path / "dvc.yaml").write_text(dump_yaml({"stages": {"train": train, "report": report}}))
        git("add", "--all", root=tmp_path)
        git("commit", "--quiet", "--allow-empty", "--message", "Edit", root=tmp_path)
        return read_revision(tmp_path, "HEAD").code

    git("init", "--quiet", root=tmp_path)
    before = code(oft__training="loss", oft__report="words", data__models__base="weights")
    train["desc"] = "Train an adapter."
    assert code(oft__report="other words", data__conditions__README="Masks lie here.") == before
    assert code(data__models__base="other weights") != before
    assert code(data__models__base="weights") == before
    edited = code(oft__training="another loss")
    assert edited != before
    train["cmd"] = "python -m stages.train --twice"
    assert code() not in (before, edited)
