from __future__ import annotations

from typing import Any

from oft.params import parse_params
from oft.report.plan import TaskKind, datasets_of, describe_task, num_sample_shards, planned_runs, trained_on


def test_runs_follow_the_params(values: dict[str, Any]) -> None:
    values["transfers"] = {
        "canny_photos-oft": {"task": "canny_photos", "adapter": "oft", "trained_on": "canny_coco"}
    }
    values["base_tasks"] = ["segm_ade20k", "canny_photos"]
    values["sample_shards"] = [0, 1]
    params = parse_params(values)
    assert planned_runs(params) == {
        "segm_ade20k": ("none", "hint", "oft", "coft"),
        "canny_coco": ("hint", "oft", "coft"),
        "canny_photos": ("none", "oft"),
        "subject_duck_toy": ("oft", "coft"),
    }
    assert trained_on("canny_photos", "oft", params) == "canny_coco"
    assert trained_on("canny_coco", "oft", params) is None
    assert num_sample_shards("canny_photos", "oft", params) == 1
    assert num_sample_shards("canny_coco", "oft", params) == 2


def test_kinds_come_from_params(values: dict[str, Any]) -> None:
    params = parse_params(values)
    assert describe_task("segm_ade20k", params) == TaskKind(
        "segmentation", "ade20k", "miniature world, in ADE20K's layout"
    )
    assert describe_task("subject_duck_toy", params) == TaskKind(
        "subject", "dreambooth", "miniature world, in DreamBooth's layout"
    )
    assert describe_task("canny_coco", params).title("canny_coco") == (
        "Edges to picture (miniature world, in COCO's layout)"
    )
    assert describe_task("subject_duck_toy", params).short_title("subject_duck_toy") == "Subject “duck toy”"
    assert datasets_of(["canny_coco", "subject_duck_toy"], params) == ["coco", "dreambooth"]
