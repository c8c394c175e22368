from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.report.plan import TaskKind, datasets_of, describe_task, planned_runs, trained_on


def test_runs_follow_the_params(params: dict[str, Any], tmp_path: Path) -> None:
    params["transfers"] = {
        "canny_photos-oft": {"task": "canny_photos", "adapter": "oft", "trained_on": "canny_coco"}
    }
    params["base_tasks"] = ["segm_ade20k", "canny_photos"]
    assert planned_runs(params, tmp_path) == {
        "segm_ade20k": ("none", "oft", "coft"),
        "canny_coco": ("oft", "coft"),
        "canny_photos": ("none", "oft"),
        "subject_duck_toy": ("oft", "coft"),
    }
    assert trained_on("canny_photos", "oft", params) == "canny_coco"
    assert trained_on("canny_coco", "oft", params) is None


def test_leftovers_of_another_profile_stay_out(params: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "runs" / "segm_ade20k" / "lora").mkdir(parents=True)
    assert "lora" not in planned_runs(params, tmp_path)["segm_ade20k"]


def test_without_a_plan_the_folders_count(tmp_path: Path) -> None:
    for name in (
        "segm_ade20k/oft",
        "segm_ade20k/none",
        "segm_ade20k/.oft.partial",
        "report/grids",
        "angles/x",
    ):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert planned_runs({}, tmp_path) == {"segm_ade20k": ("none", "oft")}


def test_kinds_come_from_params_or_names(params: dict[str, Any]) -> None:
    assert describe_task("segm_ade20k", params) == TaskKind("segmentation", "ade20k", "world")
    assert describe_task("subject_duck_toy", params) == TaskKind("subject", "dreambooth", "world")
    assert describe_task("segm_ade20k", {}) == TaskKind("segmentation", "ade20k", "")
    assert describe_task("canny_photos", {}) == TaskKind("canny", "photos", "")
    assert describe_task("subject_dog", {}).condition == "subject"
    assert datasets_of({"canny_coco": 0, "subject_duck_toy": 0}, params) == ["coco", "dreambooth"]
