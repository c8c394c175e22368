from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oft.report import read_telemetry
from oft.report.results import Picture, ReportData, TaskResults
from tests.oft.report.conftest import collect_run

RUN = Path("runs") / "segm_ade20k" / "oft"


def task_of(report: ReportData, name: str = "segm_ade20k") -> TaskResults:
    return next(task for task in report.tasks if task.name == name)


def test_whole_run_leaves_no_note(report: ReportData) -> None:
    assert [task.name for task in report.tasks] == ["segm_ade20k", "canny_coco", "subject_duck_toy"]
    assert report.notes == () and all(task.notes == () for task in report.tasks)


def test_rows_hold_what_belongs_together(report: ReportData) -> None:
    task = task_of(report)
    assert len(task.comparisons) == 3
    for row in task.comparisons:
        assert row.condition is not None and row.target is not None
        # JPEG moves the target's values a little.
        assert np.abs(255 - row.condition.astype(int) - row.target).mean() < 12
        assert set(row.outputs) == {"none", "hint", "oft", "coft"}
        assert {output.seed for output in row.outputs.values()} == {1000}
        assert row.caption == f"a house by the lake {int(row.key[-2:])}"


def test_rows_depend_on_seed_and_task_alone(pristine_run: Path, values: dict[str, Any]) -> None:
    def keys(seed: int) -> list[list[str]]:
        found = collect_run(pristine_run, values, num_rows=4, seed=seed)
        return [[row.key for row in task.comparisons] for task in found.tasks]

    assert keys(0) == keys(0)
    assert keys(0) != keys(1)
    first = keys(0)[0]
    values["control_tasks"], values["base_tasks"] = ["segm_ade20k"], ["segm_ade20k", "subject_duck_toy"]
    assert keys(0)[0] == first


def test_rows_are_those_that_all_adapters_drew(
    run_folder: Path,
    values: dict[str, Any],
    write_samples: Callable[..., None],
    draw_picture: Callable[..., Picture],
) -> None:
    write_samples(run_folder / RUN / "samples", [("val03", 0, draw_picture(1), "p")])
    task = task_of(collect_run(run_folder, values, num_rows=4, seed=0))
    assert [row.key for row in task.comparisons] == ["val03"]


def test_subjects_show_their_pictures_and_prompts(report: ReportData) -> None:
    task = task_of(report, "subject_duck_toy")
    assert task.is_subject and len(task.instances) == 7
    assert [example.condition for example in task.examples] == [None] * 3
    assert len(task.comparisons) == 3 and len(task.more_comparisons) == 3
    assert task.notes == ()


def test_worst_pictures_come_first(report: ReportData) -> None:
    failures = [failure for failure in task_of(report).failures if failure.adapter == "oft"]
    assert [failure.comparison.key for failure in failures] == ["val00", "val04", "val01"]
    assert [failure.score for failure in failures] == pytest.approx([0.37, 0.37, 0.39])
    assert failures[0].comparison.condition is not None
    assert list(failures[0].comparison.outputs) == ["oft"]


def test_scores_that_are_no_numbers_are_no_failures(run_folder: Path, values: dict[str, Any]) -> None:
    path = run_folder / RUN / "plots" / "per_image.json"
    records = [{"key": "val04", "index": 0, "aacc": 0.4}, {"key": "val05", "index": 0, "aacc": None}]
    path.write_text(json.dumps([*records, {"key": "val06", "index": 0, "aacc": float("nan")}, {"aacc": 0.1}]))
    task = task_of(collect_run(run_folder, values, num_rows=1, seed=0))
    assert [f.comparison.key for f in task.failures if f.adapter == "oft"] == ["val04"]


def test_metrics_curves_and_summaries_are_read(report: ReportData) -> None:
    run = next(run for run in task_of(report).runs if run.adapter == "oft")
    assert run.metrics["miou"] == 0.4 and run.num_samples == 8
    assert [(curve.phase, curve.name, len(curve.steps)) for curve in run.curves] == [
        ("train", "train/loss", 60),
        ("train", "val_loss", 4),
        ("magnitude", "train/loss", 60),
    ]
    assert run.summaries["train"] == {"steps": 60, "nested.best": 0.5}
    assert len(run.confusion) == 6


def test_counts_are_read_for_every_stage(report: ReportData) -> None:
    assert {row.stage for row in report.counts} == {"acquire", "extract", "caption", "shard"}
    row = next(row for row in report.counts if (row.stage, row.name) == ("extract", "canny_coco"))
    assert (row.split, row.seen, row.kept, dict(row.dropped)) == ("train", 9, 7, {"truncated": 2})
    assert row.offenders["truncated"] == ("broken.jpg",)


def test_transferred_adapters_are_expected_to_train_nothing(run_folder: Path, values: dict[str, Any]) -> None:
    values["transfers"] = {
        "canny_coco-oft": {"task": "canny_coco", "adapter": "oft", "trained_on": "segm_ade20k"}
    }
    values["control_tasks"] = ["segm_ade20k"]
    for phase in ("train", "magnitude"):
        (run_folder / "runs" / "canny_coco" / "oft" / phase).rename(run_folder / phase)
    path = run_folder / "runs" / "canny_coco" / "oft" / "metrics.json"
    own = json.loads(path.read_text())
    path.write_text(json.dumps({key: own[key] for key in own if not key.endswith("_parameters")}))
    task = task_of(collect_run(run_folder, values, num_rows=1, seed=0), "canny_coco")
    assert [run.trained_on for run in task.runs] == [None, "segm_ade20k"]
    # What the adapter is was measured where it was trained; what it scores is its own.
    assert task.runs[1].metrics["rotation_parameters"] == 259200
    assert task.runs[1].metrics["canny_f1"] == 0.4 and "miou" not in task.runs[1].metrics
    assert task.notes == ()


def test_conditions_are_shown_before_anything_is_generated(run_folder: Path, values: dict[str, Any]) -> None:
    (run_folder / "runs").rename(run_folder / "elsewhere")
    task = task_of(collect_run(run_folder, values, num_rows=2, seed=0))
    assert len(task.comparisons) == 2
    assert all(row.condition is not None and not row.outputs for row in task.comparisons)
    assert {note.piece for note in task.notes} >= {"samples", "metrics", "curves", "magnitude", "confusion"}


MISSING = {
    "runs/segm_ade20k/oft/samples": "OFT has no pictures: runs/segm_ade20k/oft/samples is not there",
    "runs/segm_ade20k/none": "Base alone has no pictures",
    "runs/segm_ade20k/oft/metrics.json": "runs/segm_ade20k/oft/metrics.json is not there",
    "runs/segm_ade20k/oft/train": "OFT has no curves: runs/segm_ade20k/oft/train/dvclive/plots/metrics",
    "runs/segm_ade20k/oft/train/dvclive/plots/images": "OFT has no validation grids: runs/segm_ade20k/oft/tr",
    "runs/segm_ade20k/oft/train/summary.json": "runs/segm_ade20k/oft/train/summary.json is not there",
    "runs/segm_ade20k/oft/magnitude": "runs/segm_ade20k/oft/magnitude/summary.json is not there",
    "runs/segm_ade20k/oft/plots/confusion.json": "runs/segm_ade20k/oft/plots/confusion.json is not there",
    "runs/segm_ade20k/oft/plots/per_image.json": "runs/segm_ade20k/oft/plots/per_image.json is not there",
    "data/shards/segm_ade20k": "data/shards/segm_ade20k is not there; the stage “shard” writes it",
    "data/shards/segm_ade20k/card.json": "data/shards/segm_ade20k/card.json is not there",
    "data/raw": "data/raw/ade20k.counts.json is not there; the stage “acquire” writes it",
    "data/conditions": "data/conditions/segm_ade20k.counts.json is not there",
    "data/captions": "data/captions/ade20k.counts.json is not there",
    "data/shards/segm_ade20k.counts.json": "data/shards/segm_ade20k.counts.json is not there",
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_pieces_are_named(run_folder: Path, values: dict[str, Any], name: str) -> None:
    path = run_folder / name
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    found = collect_run(run_folder, values, num_rows=1, seed=0)
    notes = [*found.notes, *(note for task in found.tasks for note in task.notes)]
    assert any(MISSING[name] in note.text for note in notes)


def test_the_first_the_middle_and_the_last_validation_grid_are_collected(report: ReportData) -> None:
    for run in task_of(report, "canny_coco").runs:
        steps = [] if run.adapter == "none" else [15, 45, 60]
        assert [grid.step for grid in run.validation] == steps
        assert [int(grid.picture[0, 0, 0]) for grid in run.validation] == steps


def test_runs_without_validation_say_why(run_folder: Path, values: dict[str, Any]) -> None:
    for folder in run_folder.glob("runs/*/*/train/dvclive/plots/images"):
        shutil.rmtree(folder)
    values["training"] |= {"num_validation_images": 0}
    task = task_of(collect_run(run_folder, values, num_rows=1, seed=0))
    assert [note.text for note in task.notes] == [
        "There are no validation grids: training.num_validation_images is 0."
    ]


def test_a_damaged_validation_grid_is_named_and_the_others_stay(
    run_folder: Path, values: dict[str, Any]
) -> None:
    name = "runs/segm_ade20k/oft/train/dvclive/plots/images/validation-00000015.png"
    (run_folder / name).write_bytes(b"no picture")
    task = task_of(collect_run(run_folder, values, num_rows=1, seed=0), "segm_ade20k")
    assert [note.text for note in task.notes] == [
        f"{name} is there but cannot be read: its bytes are no whole picture."
    ]
    assert [grid.step for run in task.runs if run.adapter == "oft" for grid in run.validation] == [45, 60]


def test_an_empty_folder_is_a_report_of_what_is_missing(tmp_path: Path, values: dict[str, Any]) -> None:
    nothing = values | {"control_tasks": [], "subject_tasks": [], "base_tasks": []}
    assert {note.piece for note in collect_run(tmp_path, nothing).notes} == {"metrics"}
    full = collect_run(tmp_path, values, 3, 0)
    assert {note.piece for note in full.notes} == {"counts"}
    assert all(task.comparisons == () and task.notes for task in full.tasks)


def test_collecting_writes_nothing(pristine_run: Path, values: dict[str, Any]) -> None:
    def state() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in pristine_run.rglob("*")}

    before = state()
    collect_run(pristine_run, values, num_rows=2, seed=0)
    read_telemetry(pristine_run)
    assert state() == before


def test_telemetry_is_read_where_it_is(pristine_run: Path, tmp_path: Path) -> None:
    assert read_telemetry(tmp_path) == []
    (entry,) = read_telemetry(pristine_run)
    assert entry.stage == "train@segm_ade20k-oft" and entry.values["seconds"] == 95.2


def test_a_style_shows_unseen_prompts_and_then_seen_ones_beside_their_pictures(
    style_report: ReportData, draw_picture: Callable[..., Picture]
) -> None:
    (task,) = style_report.tasks
    assert task.is_style and task.title == "Style “ink” (miniature world)"
    assert [row.kind for row in task.comparisons] == ["unseen prompt"] * 2 + ["seen prompt"] * 2
    for row in task.comparisons:
        split, place = row.key[:-1], int(row.key[-1])
        assert (split == "train") == (row.kind == "seen prompt")
        np.testing.assert_array_equal(row.target, draw_picture(place, len(split)))
        assert set(row.outputs) == {"none", "oft"} and row.condition is None
    assert len(task.examples) == 2 and not task.more_comparisons
