"""What would stop a run is found before it starts, all of it at once, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from oft.cli import app
from oft.doctor.examination import examine, refuse_faults
from oft.doctor.finding import Finding, Scope
from oft.errors import ParamsError
from oft.params import parse_params
from oft.storage import dump_yaml
from tests.conftest import ROOT


def found(values: dict[str, Any], level: str, stages: set[str] | None = None, root: Path = ROOT) -> list[str]:
    params = parse_params(values)
    return [one.about for one in examine(params, root, stages) if one.level == level]


def test_the_default_run_has_no_fault_and_no_warning(values: dict[str, Any]) -> None:
    assert found(values, "fault") == found(values, "warning") == []


def test_all_faults_come_at_once(values: dict[str, Any], tmp_path: Path) -> None:
    values["datasets"]["ade20k"]["acquire"]["source"] = "download"
    values["datasets"]["coco"]["acquire"]["source"] = "/nowhere/coco"
    values["datasets"]["photos"]["captions"]["source"] = "prompts.json"
    values["subjects"]["subject_robot_toy"] |= {"prompts": "prompts.txt", "class_pictures": "toys"}
    values["base"] |= {"source": "/nowhere/model"}
    values["tasks"]["canny_coco"]["condition"] = "hed"
    values["conditions"]["hed"]["model"] = "/nowhere/hed"
    values["train"]["mixed_precision"] = "fp16"
    assert set(found(values, "fault")) == {
        "datasets.ade20k.acquire",
        "datasets.coco.acquire",
        "datasets.photos.captions.source",
        "subjects.subject_robot_toy.prompts",
        "subjects.subject_robot_toy.class_pictures",
        "conditions.hed.model",
        "base.source",
        "train",
    }


def test_what_is_there_and_of_another_kind_is_a_fault(values: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("bad {x}", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "data/raw/coco").mkdir(parents=True)
    for source in ("data/raw/coco", "data/raw", "data/raw/coco/.."):
        values["datasets"]["coco"]["acquire"]["source"] = source
        assert found(values, "fault", {"acquire@coco"}, tmp_path) == ["datasets.coco.acquire"]
    subject, stages = values["subjects"]["subject_robot_toy"], {"shard_subject@subject_robot_toy"}
    for prompts, pictures in (("prompts.txt", "empty"), ("empty", "prompts.txt")):
        subject |= {"prompts": prompts, "class_pictures": pictures}
        keys = ["subjects.subject_robot_toy.prompts", "subjects.subject_robot_toy.class_pictures"]
        assert found(values, "fault", stages, tmp_path) == keys


def test_what_is_up_to_date_is_not_looked_at(values: dict[str, Any]) -> None:
    values["datasets"]["coco"]["acquire"]["source"] = "/nowhere/coco"
    values["base"]["source"] = "/nowhere/model"
    assert found(values, "fault", {"report", "acquire@ade20k"}) == []
    assert found(values, "fault", {"acquire@coco"}) == ["datasets.coco.acquire"]


def test_a_missing_judge_is_a_warning(values: dict[str, Any], tmp_path: Path) -> None:
    values["evaluate"]["judges"] = str(tmp_path)
    (tmp_path / "extractor").mkdir()
    params = parse_params(values)
    warnings = [one.message for one in examine(params, ROOT) if one.level == "warning"]
    assert any("has no clip/, so segm_ade20k, " in text for text in warnings)
    assert any("has no segmenter/, so segm_ade20k will" in text for text in warnings)
    assert not any("extractor" in text for text in warnings)
    assert found(values, "warning", {"report"}) == []


def test_a_run_with_faults_is_refused_with_all_of_them() -> None:
    findings = [Finding("fault", "a", "one"), Finding("warning", "b", "two"), Finding("fault", "c", "three")]
    with pytest.raises(ParamsError, match="2 thing") as error:
        refuse_faults(findings)
    assert str(error.value).splitlines()[1:] == ["  - a: one", "  - c: three"]
    refuse_faults(findings[1:2])


@pytest.mark.parametrize(
    ("stage", "script", "item", "has"),
    [
        ("acquire@coco", "acquire", "coco", True),
        ("acquire@coco", "acquire", "ade20k", False),
        ("init_subject@subject_a-lora", "init", "lora", True),
        ("init_subject@subject_a-lora", "init", "oft", False),
        ("train@a-oft", "init", "oft", False),
        ("base", "base", "", True),
        ("evaluate_base@a", "evaluate", "", True),
    ],
)
def test_a_stage_stands_for_its_script_and_item(stage: str, script: str, item: str, has: bool) -> None:
    assert Scope({stage}).has(script, item) is has
    assert Scope().has(script, item)


def test_the_command_ends_with_the_number_of_faults(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/models").mkdir(parents=True)
    (tmp_path / "data/models/miniature").symlink_to(ROOT / "data/models/miniature")
    (tmp_path / "params.yaml").write_text(dump_yaml(values), encoding="utf-8")
    outcome = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert outcome.stdout.endswith("nothing would stop a run\n")
    values["datasets"]["coco"]["acquire"]["source"] = "/nowhere"
    (tmp_path / "params.yaml").write_text(dump_yaml(values), encoding="utf-8")
    outcome = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert outcome.exit_code == 1
    assert outcome.stdout.splitlines()[-2].startswith("fault    datasets.coco.acquire")
    assert outcome.stdout.endswith("1 thing(s) would stop a run\n")
